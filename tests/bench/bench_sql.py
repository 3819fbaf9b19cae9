"""Every rule of the shared data on every event of EMP and CMD, by the matcher and by its SQL on DuckDB: are they the same?

python -m tests.bench.bench_sql
"""

from __future__ import annotations

import sys
from time import perf_counter

from harness.logic.match import View, compile_node
from tests.logic.sql_tables import DuckTable
from tests.logic.test_sql import recorded, rules, said
from tests.needs import DATA


def main() -> int:
    """Prints what was compared; 1 where the two differ."""
    if not DATA.is_dir():
        sys.stdout.write(f"skipped: the shared recordings are not at {DATA}\n")
        return 0
    events, asked = recorded(), said()
    table = DuckTable(events, [each.logic for each in asked])
    started = perf_counter()
    by_sql = {each.id: table.ask(each.logic) for each in asked}
    between = perf_counter()
    views = [View(each.flat, each) for each in events]
    differing = found = 0
    for each in asked:
        fits = compile_node(each.logic)
        expected = {number for number, view in enumerate(views) if fits(view)}
        found += len(expected)
        if expected != by_sql[each.id]:
            differing += 1
            sys.stdout.write(f"differs: {each.id} {each.title}: {len(expected)} by the matcher, {len(by_sql[each.id])} by SQL\n")
    ended = perf_counter()
    share = len(asked) / len(rules())
    sys.stdout.write(f"{len(rules())} rules evaluated, {len(asked)} of them in SQL too ({share:.1%}), {len(events)} events\n")
    sys.stdout.write(f"{found} matches, {differing} rules differ\n")
    sys.stdout.write(f"DuckDB {between - started:.1f} s on one core; the plain matcher, rule by rule, {ended - between:.1f} s\n")
    return int(differing > 0 or share < 0.95)


if __name__ == "__main__":
    sys.exit(main())
