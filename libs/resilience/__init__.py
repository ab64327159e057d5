"""Pure state machines that keep failures small; time comes in as an argument."""
