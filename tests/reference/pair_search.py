"""Near-duplicate pairs found by looking at every pair of bits: slow and obvious."""


def pairs_by_loops(hashes, valid, most, min_stains):
    """Return ``{(i, j): [distance or None for each stain]}``; `most` is a number a stain."""
    found = {}
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            distances = []
            for stain in range(hashes.shape[1]):
                if not (valid[i][stain] and valid[j][stain]):
                    distances.append(None)
                    continue
                distance = 0
                for one, other in zip(hashes[i][stain], hashes[j][stain]):
                    distance += bin(int(one) ^ int(other)).count("1")
                distances.append(distance)
            agreeing = [d for d, limit in zip(distances, most) if d is not None and d <= limit]
            if len(agreeing) >= min_stains:
                found[i, j] = distances
    return found


def clusters_by_flooding(image_ids, links):
    """Return ``{image_id: smallest id that can be reached}``."""
    names = {}
    for start in image_ids:
        reached, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for link in links:
                if here in link:
                    new = set(link) - reached
                    reached |= new
                    waiting.extend(new)
        names[start] = min(reached & set(image_ids))
    return names
