"""Development tools: generators, the test guest, the lab and the demo. Never imported by a shipped package."""
