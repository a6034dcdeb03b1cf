"""Whether a user may: asked of the API server by SubjectAccessReview, though it has asked itself before it passed the request on.

The second question is for requests that found another way here, and for rights that the path's verb does not tell (a console is a GET).
"""

from __future__ import annotations

from collections.abc import Sequence

from xvirt.gateway.authentication import User
from xvirt.gateway.cluster import ask
from xvirt.gateway.paths import Target
from xvirt.model.errors import Forbidden
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.resources import Object, Resource
from xvirt.wire.subresources import GROUP, PLURAL, VERSION

REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", is_namespaced=False)


async def authorize(client: ApiClient, user: User, target: Target, verbs: Sequence[str]) -> None:
    """Raises Forbidden unless the user has every one of these rights upon the subresource."""
    for verb in verbs:
        answer = await ask(client.submit(REVIEWS, make_review(user, target, verb)), "whether you may is not known")
        status = answer.get("status") or {}
        if not status.get("allowed") or status.get("denied"):
            why = str(status.get("reason") or "")
            what = f"{PLURAL}.{GROUP} {target.name!r} is forbidden: User {user.name!r} cannot {verb} resource"
            where = f'"{PLURAL}/{target.subresource}" in API group "{GROUP}" in the namespace "{target.namespace}"'
            raise Forbidden(f"{what} {where}{f': {why}' if why else ''}")


def make_review(user: User, target: Target, verb: str) -> Object:
    """The question, as a document."""
    return {
        "apiVersion": REVIEWS.api_version,
        "kind": REVIEWS.kind,
        "metadata": {},
        "spec": {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra.items()},
            "resourceAttributes": {
                "namespace": target.namespace,
                "verb": verb,
                "group": GROUP,
                "version": VERSION,
                "resource": PLURAL,
                "subresource": target.subresource,
                "name": target.name,
            },
        },
    }
