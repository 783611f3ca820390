"""Messages and files between people, addressed by public key."""
