"""One file for this machine from the one that the user names, proved equal and made once."""
