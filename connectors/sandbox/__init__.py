"""Stand-ins that speak both vendors' HTTP APIs on loopback: for the demo, the tests and your own rehearsals."""
