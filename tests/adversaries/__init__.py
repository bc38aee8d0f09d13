"""The adversary gym: scripted attacks on the real contracts, with everybody's money before and after."""
