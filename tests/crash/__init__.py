"""Crashes: killed servers, failing disks and damaged files, and the rules that hold then."""
