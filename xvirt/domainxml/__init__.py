"""libvirt's XML, both ways: lossless trees, typed rendering, overlay, ownership mark, facts and comparison.

Pure: it builds and reads element trees and never touches a host, a clock or libvirt. It must not know who asks: the node plugin
(definitions, hot-plug, drift), the policy and the CLI call it; it calls `xvirt.model` alone. XML is never put together from text.
"""
