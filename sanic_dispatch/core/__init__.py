"""The rules, as one pure state machine: no storage, no network, no clock, no asyncio."""
