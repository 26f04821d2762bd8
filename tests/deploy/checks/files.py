"""Reading files so that what YAML and JSON let pass in silence is a problem."""
import json

import yaml


class Strict(yaml.SafeLoader):
    """YAML in which a key that stands twice is a mistake, not the last one's victory."""


def _mapping(loader, node, deep=False):
    seen = set()
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:merge":
            name = loader.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} stands twice", key.start_mark)
            seen.add(name)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(path):
    """(documents of a YAML file, problems)"""
    try:
        return list(yaml.load_all(path.read_text(), Strict)), []
    except (yaml.YAMLError, OSError) as e:
        return [], [f"{path}: {' '.join(str(e).split())}"]


def _pairs(pairs):
    keys = [k for k, _ in pairs]
    twice = {k for k in keys if keys.count(k) > 1}
    if twice:
        raise ValueError(f"keys stand twice: {', '.join(sorted(twice))}")
    return dict(pairs)


def json_of(path):
    try:
        return json.loads(path.read_text(), object_pairs_hook=_pairs), []
    except (ValueError, OSError) as e:
        return None, [f"{path}: {e}"]
