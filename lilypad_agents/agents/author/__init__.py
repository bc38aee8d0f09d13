"""What a module's author does: write, check, certify, publish, fork, curate, be paid. Nothing here prints."""
