"""Decides when: one worker per object re-observes its host, asks `plan` what is to be done, has `steps` do it, and writes status.

Everybody else (Apply, libvirt's events, timers) only enqueues a key. Nothing here is believed from an event.
"""
