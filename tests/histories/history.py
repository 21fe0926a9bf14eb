"""A real project's history: its migrations in order, and the releases that have had the first so many of them."""

from __future__ import annotations

import functools
import importlib
import os


def configure(project, database, directory):
    """Django, set up for the project with `database` as an entry of DATABASES."""
    import django
    from django.conf import settings

    os.environ.update(project.environ)
    own = {}
    if project.base:
        base = importlib.import_module(project.base)
        own = {name: getattr(base, name) for name in dir(base) if name.isupper()}
    settings.configure(
        **{
            "SECRET_KEY": "histories",
            "USE_TZ": True,
            "SITE_ID": 1,
            "ROOT_URLCONF": "tests.histories.projects",
            "STATIC_URL": "/static/",
            "MEDIA_ROOT": str(directory / "media"),
            "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
            # What hashes secrets when it saves them would take the most time by far.
            "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
            **own,
            "INSTALLED_APPS": [*own.get("INSTALLED_APPS", ()), *project.apps, "guard"],
            # Published migrations ask what the database is, and can do, when they are imported.
            "DATABASES": {"default": database},
            "GUARD": {"MODE": "off", "RELEASE": "histories"},
            **project.settings,
        }
    )
    django.setup()


class Release:
    """Code that has the first `count` migrations of a history."""

    def __init__(self, count, state, keys, names):
        self.count = count
        self.keys = keys
        #: Of Django's state, which nothing may change.
        self.state = state
        self._names = names

    @functools.cached_property
    def _apps(self):
        from tests.integration.phases import oracle

        return oracle._apart(self.state).apps

    @functools.cached_property
    def models(self):
        return [found for found in self._apps.get_models() if found._meta.managed and not found._meta.proxy]

    @property
    def tables(self):
        return {model._meta.db_table for model in self.models}

    def footprint(self, connection):
        from guard.schema.footprint import Column, Footprint

        tables = {
            found._meta.db_table: {
                f.column: Column(f.db_type(connection) or "", f.null, f.has_db_default())
                for f in found._meta.local_concrete_fields
                if f.column
            }
            for found in self._apps.get_models(include_auto_created=True)
            if found._meta.managed and not found._meta.proxy
        }
        return Footprint(tables=tables, migrations=frozenset(self._names))


class History:
    """Every migration of the project, in the order in which a new database gets them.

    With `replaced`, that of a database which is older than the squashes: it has had the migrations that they replace.
    """

    def __init__(self, project, *, replaced=False):
        from django.db.migrations.loader import MigrationLoader

        loader = MigrationLoader(None, load=False)
        loader.replace_migrations = not replaced
        loader.build_graph()
        graph = loader.graph
        if replaced:
            for key, squash in loader.replacements.items():
                # Of some squashes, the migrations that they replace are not shipped any more.
                if all(one in graph.nodes for one in squash.replaces):
                    graph.remove_replacement_node(key, squash.replaces)
                else:
                    graph.remove_replaced_nodes(key, squash.replaces)
        keys = dict.fromkeys(
            key for leaf in sorted(graph.leaf_nodes()) for key in graph.forwards_plan(leaf) if key[0] != "guard"
        )
        self.project = project
        self.migrations = [graph.nodes[key] for key in keys]
        self.newest = self.release(len(self.migrations))

    def state(self, count):
        from django.db.migrations.state import ProjectState

        state = ProjectState()
        for migration in self.migrations[:count]:
            state = migration.mutate_state(state, preserve=False)
        return state

    def loader(self, connection, release):
        """Of code that has only the release's migrations."""
        from django.db.migrations.loader import MigrationLoader

        class Loader(MigrationLoader):
            def load_disk(self):
                super().load_disk()
                wanted = self.disk_migrations.items()
                self.disk_migrations = {key: found for key, found in wanted if key[0] == "guard" or key in release.keys}

        return Loader(connection)

    def release(self, count):
        keys = {(one.app_label, one.name) for one in self.migrations[:count]}
        names = keys | {tuple(pair) for one in self.migrations[:count] for pair in one.replaces}
        return Release(count, self.state(count), keys, names)

    def judged(self, connection):
        """For each migration, the dispositions of its operations where it is applied alone."""
        from django.db.migrations.state import ProjectState

        from guard import conf
        from guard.phases import plan

        found = plan.judge_each(
            self.migrations, ProjectState(), connection=connection, strategy=conf.Strategy.SPLIT, declared={}
        )
        return [(migration, [each.disposition for each in judged.operations]) for migration, judged in found]

    def together(self, release, target, connection):
        """The dispositions of the operations between the two releases, in one plan."""
        from guard import conf
        from guard.phases import plan

        judged = plan.judge_plan(
            [plan.unfolded(migration) for migration in self.migrations[release.count : target.count]],
            release.state,
            connection=connection,
            strategy=conf.Strategy.SPLIT,
            alias=connection.alias,
        )
        return [each.disposition for judgement in judged for each in judgement.operations]
