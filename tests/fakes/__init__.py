"""Servers that stand in for vaults and PagerDuty, over TLS, with faults that can be switched on."""
