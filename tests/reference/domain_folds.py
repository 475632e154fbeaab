"""The slow obvious way to leave out domains: look at every cluster in turn."""

from collections import Counter


def held_out_domains(domains, clusters, train_ids):
    """Return the domain that each training field is left out with, by id."""
    result = {}
    for cluster in {clusters[image_id] for image_id in train_ids}:
        members = [image_id for image_id in train_ids if clusters[image_id] == cluster]
        votes = Counter(domains[image_id] for image_id in members)
        most = max(votes.values())
        winner = min(domain for domain, count in votes.items() if count == most)
        result.update(dict.fromkeys(members, winner))
    return result
