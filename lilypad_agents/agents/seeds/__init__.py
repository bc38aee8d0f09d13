"""The participant of a deployment whose seeds are made together: commits to a secret each period and reveals it. Protocol 6.4."""
