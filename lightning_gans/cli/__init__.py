"""The command line `lightning-gans`; importing this package imports neither torch nor Lightning."""
