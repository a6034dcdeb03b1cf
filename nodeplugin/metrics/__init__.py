"""What Prometheus scrapes: libvirt's statistics of every domain, the node's objects, and the plugin's own work.

Reads only: a scrape changes nothing on the host and asks no QEMU that is busy. Called by `nodeplugin.main`.
"""
