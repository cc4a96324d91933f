"""What `broker` shows of servers, streams, messages and groups."""
