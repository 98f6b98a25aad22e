return _CTX
