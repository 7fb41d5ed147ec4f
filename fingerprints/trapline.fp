[tcp:request]
