"""What people know from Striim, carried over: its programs."""
