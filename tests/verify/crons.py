"""Compares when cron expressions fire with croniter (PyPI), an independent implementation.

Usage: crons.py PROGRAM [COUNT] [SEED]: PROGRAM reads "expression<TAB>zone<TAB>from<TAB>count" and prints ticks (crates/core/examples/ticks.rs).

Expressions are made at random of everything that both know. Each difference must be one of those that are named and justified here;
any other fails.
"""
import collections
import datetime
import random
import subprocess
import sys
import zoneinfo

from croniter import croniter

TICKS = 5
ZONES = ["UTC", "UTC", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()


def field(low, high, names=()):
    """A field of values, ranges, steps and lists."""
    def name(value):
        return names[value - low] if names and random.random() < 0.3 and value - low < len(names) else str(value)

    def item():
        kind = random.random()
        first = random.randint(low, high - 1)
        # croniter takes a range whose ends are equal for all values there are, so there is none.
        last = random.randint(first + 1, high)
        if kind < 0.5:
            return name(random.randint(low, high))
        if kind < 0.75:
            return f"{name(first)}-{name(last)}"
        if kind < 0.9:
            return f"*/{random.randint(1, max(1, (high - low) // 2))}"
        return f"{first}-{last}/{random.randint(1, max(1, last - first))}"

    if random.random() < 0.4:
        return "*"
    return ",".join(item() for _ in range(random.choice([1, 1, 1, 2, 3])))


def expression():
    minute, hour = field(0, 59), field(0, 23)
    day, month, weekday = field(1, 31), field(1, 12, MONTHS), field(0, 6, DAYS)
    special = random.random()
    if special < 0.05:
        day, weekday = "L", "*"
    elif special < 0.10:
        day, weekday = "*", f"{random.randint(0, 6)}#{random.randint(1, 5)}"
    elif special < 0.15:
        # croniter writes L5 what we, as Quartz, write 5L.
        day, weekday = "*", f"L{random.randint(0, 6)}"
    second = field(0, 59) if random.random() < 0.3 else None
    return second, [minute, hour, day, month, weekday]


def ours(second, fields):
    fields = list(fields)
    if fields[4].startswith("L"):
        fields[4] = fields[4][1:] + "L"
    return " ".join(([second] if second else []) + fields)


def theirs(second, fields):
    return " ".join(fields + ([second] if second else []))


def changes(zone, first, last):
    """Whether the clocks of the zone change within a day of these times."""
    at = first - 86400
    offsets = set()
    while at < last + 2 * 86400:
        offsets.add(datetime.datetime.fromtimestamp(at, zone).utcoffset())
        at += 21600
    return len(offsets) > 1


def justified(fields, zone, mine, other):
    """The name of a known difference, or None."""
    day, weekday = fields[2], fields[4]
    if day != "*" and weekday != "*" and "*" in day + weekday:
        return "a day of month or week with a step of *: Vixie cron then asks for both, we, as written, for either"
    if changes(zone, min(mine + other), max(mine + other)):
        return "clock changes: we fire a skipped time when the clocks have skipped it, and a fixed one that comes twice once"
    return None


def main():
    program, count, seed = sys.argv[1], int((sys.argv[2:] or [10000])[0]), int((sys.argv[3:] or [1])[0])
    random.seed(seed)
    cases, lines = [], []
    while len(cases) < count:
        second, fields = expression()
        zone = random.choice(ZONES)
        start = random.randint(1_767_225_600, 1_861_920_000)  # 2026 to 2028
        cases.append((second, fields, zone, start))
        lines.append(f"{ours(second, fields)}\t{zone}\t{start}\t{TICKS}")
    answers = subprocess.run([program], input="\n".join(lines) + "\n", text=True, check=True, capture_output=True).stdout
    answers = answers.splitlines()
    assert len(answers) == count, f"{len(answers)} answers"

    same, never, known, unknown = 0, 0, collections.Counter(), []
    examples = {}
    for (second, fields, zone, start), answer in zip(cases, answers):
        zone = zoneinfo.ZoneInfo(zone)
        try:
            walk = croniter(theirs(second, fields), datetime.datetime.fromtimestamp(start, zone), max_years_between_matches=50)
            other = [int(walk.get_next(float)) for _ in range(TICKS)]
        except Exception as problem:  # it has several, for what never fires
            other = str(problem)
        if not answer or not answer[0].isdigit():
            if isinstance(other, str):
                never += 1
            else:
                unknown.append((ours(second, fields), str(zone), answer, other))
            continue
        mine = [int(tick) for tick in answer.split()]
        if mine == other:
            same += 1
        elif isinstance(other, str):
            unknown.append((ours(second, fields), str(zone), mine, other))
        else:
            reason = justified(fields, zone, mine, other)
            if reason:
                known[reason] += 1
                examples.setdefault(reason, (ours(second, fields), str(zone), mine, other))
            else:
                unknown.append((ours(second, fields), str(zone), mine, other))
    print(f"{count} expressions, {TICKS} ticks each: {same} the same, {never} never fire for both")
    for reason, times in known.most_common():
        print(f"{times} differ: {reason}; such as {examples[reason]}")
    for difference in unknown[:20]:
        print("UNEXPLAINED:", difference)
    sys.exit(f"{len(unknown)} differences are not explained" if unknown else 0)


main()
