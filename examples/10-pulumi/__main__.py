"""The program: an image that the host has, or fetches, and the tier that is made of it."""

import pulumi
from web_tier import WebTier

from xvirt_provider import VirtualImage

config = pulumi.Config()
source = config.require("image")
guest = VirtualImage("guest", source={"url": source} if "://" in source else {"path": source})
tier = WebTier("shop", image=guest.object_name, replicas=config.get_int("replicas") or 2)
pulumi.export("url", tier.url)
pulumi.export("servers", {server._name: server.address for server in tier.servers})
