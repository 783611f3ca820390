"""One app alone in a process: on dmsg or on key-encrypted TCP, without a visor."""
