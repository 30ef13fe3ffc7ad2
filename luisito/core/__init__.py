"""Pure decisions: no Twisted, no clock, no I/O, no logging."""
