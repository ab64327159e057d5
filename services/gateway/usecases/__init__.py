"""What the gateway does with a call, whatever wire protocol it came by."""
