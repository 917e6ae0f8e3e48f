# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What test/bench/run makes of its samples: table, ratios, targets, plot, comparison of two runs."""
import json
import os
import shutil
import statistics
import subprocess

import bench
import peers

TITLES = {'n2s': 'north to south', 's2n': 'south to north', 'loop': 'closed loop', 'rtt p50': 'round trip p50',
          'rtt p99.9': 'round trip p99.9'}
# Of the ring for pollers, to the best peer of the row; the old guests' ring: 0.7 everywhere.
TARGETS = {('n2s', 64): 1.25, ('n2s', 256): 1.25, ('n2s', 1518): 1.3, ('s2n', 64): 1.25, ('s2n', 256): 1.3,
           ('s2n', 1518): 1.3, ('loop', 64): 1.4, ('loop', 256): 1.5, ('loop', 1518): 1.8, ('rtt p50', 64): 0.85,
           ('rtt p99.9', 64): 0.85}
KEPT = (('n2s', 1518), 2.0)  # of frames that the receiver leaves where they are; the rest as above
OLD_TARGET = 0.7
# What a process must have had of its CPU. The kernel's account is as of the last tick: 4 ms of a window are not known.
SHARE, SHARE_TRIPS = bench.OWN_CPU - 0.08, bench.OWN_CPU - 0.16
ENOUGH = 3  # windows in one state, of both contenders, for a ratio in it
FULL = 0.75  # of the best speed that was seen: below, something else runs on the core's other thread
STATES = {(True, True): 'both', (True, False): "south's", (False, True): "north's", (False, False): 'none'}
ANY = 'any'  # of the slowest thousandth, which comes from interruptions and not from a core's speed
AGREE = 0.10


def load(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def ours(name):
    return name.startswith('vbus')


class States:
    """Of the machine, in one run's windows."""

    def __init__(self, result):
        self.near = result['near'] or float('inf')
        windows = [window for row in result['rows'] for taken in row['rounds'] for found in taken.values() for window in found]
        self.best = [max((look[cpu] for window in windows for look in window[2:]), default=0) for cpu in (1, 2)]
        self.taken = len(windows)
        self.counted = sum(self.of(window) is not None for window in windows)

    def at(self, look):
        return tuple(speed >= FULL * best for speed, best in zip(look[1:], self.best))

    def of(self, window):
        """(is south's core all ours, is north's); None: the window does not count."""
        figure, share, before, after = window
        if share < (SHARE_TRIPS if isinstance(figure, list) else SHARE) or max(before[0], after[0]) > self.near or self.at(before) != self.at(after):
            return None
        return self.at(before)

    def counts(self, window):
        """The same, without a difference between states."""
        return None if self.of(window) is None else ANY


class Metric:
    """One row of the table: {name: {state: [figures]}}, of the windows that count."""

    def __init__(self, row, work, pick, states):
        self.work, self.size, self.lower = work, row['size'], work.startswith('rtt')
        names = [name for name in [*peers.CONTENDERS, peers.RING] if any(name in taken for taken in row['rounds'])]
        state = states.counts if work == 'rtt p99.9' else states.of
        self.figures = {name: self.sort(row, name, pick, state) for name in names}
        self.fair = all(self.common(a, b) for a in names for b in names)
        if not self.fair:
            self.figures = {name: self.sort(row, name, pick, lambda window: ANY) for name in names}

    @staticmethod
    def sort(row, name, pick, state):
        found = {}
        for window in (window for taken in row['rounds'] for window in taken[name]):
            found.setdefault(state(window), []).append(pick(window[0]))
        found.pop(None, None)
        return found

    def common(self, a, b):
        """The states that both were seen in."""
        return [state for state in (*STATES, ANY) if min(len(self.figures[name].get(state, ())) for name in (a, b)) >= ENOUGH]

    def of(self, name):
        return [figure for figures in self.figures[name].values() for figure in figures]

    def median(self, name):
        return statistics.median(self.of(name))

    def within(self, state, name, peer):
        return statistics.median(self.figures[name][state]) / statistics.median(self.figures[peer][state])

    def to(self, name, peer):
        """The ratio of two contenders: the mean over the states that both were seen in."""
        common = self.common(name, peer)
        if not common:
            return self.median(name) / self.median(peer)
        return statistics.geometric_mean(self.within(state, name, peer) for state in common)

    def ratio(self, name):
        """(to the best peer, its name): the worst of the ratios to each; None without a peer."""
        ratios = [(self.to(name, peer), peer) for peer in self.rivals()]
        if not ratios:
            return None
        return max(ratios) if self.lower else min(ratios)

    def rivals(self):
        return [peer for peer in self.figures if not ours(peer) and peer != peers.RING]

    def in_state(self, name, state):
        """Likewise, in one state; None: not seen there."""
        ratios = [self.within(state, name, peer) for peer in self.rivals() if state in self.common(name, peer)]
        if len(ratios) < len(self.rivals()) or not ratios:
            return None
        return max(ratios) if self.lower else min(ratios)

    def target(self, name):
        """What the ratio should be; None: nothing is asked."""
        if name == 'vbus-keep' and (self.work, self.size) == KEPT[0]:
            return KEPT[1]
        if name != 'vbus-v2':
            return TARGETS.get((self.work, self.size))
        return 1 / OLD_TARGET if self.lower else OLD_TARGET

    def met(self, name):
        target, ratio = self.target(name), self.ratio(name)
        if target is None or ratio is None:
            return None
        return ratio[0] <= target if self.lower else ratio[0] >= target


def metrics(result):
    """In the table's order: by work, then by size."""
    found, states = [], States(result)
    for row in result['rows']:
        if not row['rounds']:
            continue
        if row['work'] == 'rtt':
            found += [Metric(row, 'rtt p50', lambda figure: figure[0], states),
                      Metric(row, 'rtt p99.9', lambda figure: figure[2], states)]
        else:
            found.append(Metric(row, row['work'], lambda figure: figure, states))
    return sorted(found, key=lambda metric: (list(TITLES).index(metric.work), metric.size))


def cells(found, names):
    rows = [['work', 'bytes', *names, 'windows']]
    for metric in found:
        digits = 0 if metric.lower else 1
        rows.append([TITLES[metric.work] + (', ns' if metric.lower else ''), str(metric.size),
                     *(bench.middle(metric.of(name), digits) if name in metric.figures else '' for name in names),
                     f'{min(len(metric.of(name)) for name in metric.figures)}' + ('' if metric.fair else ' (!)')])
    return rows


def ratio_cells(found, mine):
    rows = [['to the best peer', 'bytes', 'best peer', *(f'{name} | target' for name in mine)]]
    rows[0] = [cell for part in rows[0] for cell in part.split(' | ')]
    for metric in found:
        row = [TITLES[metric.work], str(metric.size)]
        for name in mine:
            ratio, target = metric.ratio(name), metric.target(name)
            if ratio is None:
                return []
            if len(row) == 2:
                row.append(ratio[1])
            row += [f'{ratio[0]:.2f}', '' if target is None else f'{target:.2f}, ' + ('met' if metric.met(name) else 'MISSED')]
        rows.append(row)
    return rows


def state_cells(found, name):
    """Ratios to the best peer of one contender, by state."""
    rows = [['whose cores are ours alone', 'bytes', *STATES.values()]]
    for metric in found:
        ratios = [metric.in_state(name, state) for state in STATES]
        if any(ratios):
            rows.append([TITLES[metric.work], str(metric.size), *('' if ratio is None else f'{ratio:.2f}' for ratio in ratios)])
    return rows


def text(result):
    """What stands in doc/performance.md."""
    found, states = metrics(result), States(result)
    names = [name for name in [*peers.CONTENDERS, peers.RING] if any(name in metric.figures for metric in found)]
    mine = [name for name in names if ours(name)]
    parts = [f'\n{result["about"]}; {"hugepages" if result["hugepages"] else "no hugepages"}; `{result["command"]}`, '
             f'{result["seconds"]} s.\n{states.counted} of {states.taken} windows count (every process had its CPU, each core was in '
             f'one state{result["seen"]}).\n'
             'Mpps, or ns for round trips: median (first - third quartile) of the windows that count:\n',
             bench.markdown(cells(found, names))]
    if any(not metric.fair for metric in found):
        parts.append(f'\n(!) {bench.UNFAIR}')
    ratios = ratio_cells(found, mine) if mine else []
    if len(ratios) > 1:
        parts.append('\nRatios, by state; above 1 we are faster, in round trips below 1:\n\n' + bench.markdown(ratios))
    name = 'vbus-poll' if 'vbus-poll' in mine else mine[0] if mine else None
    if any(metric.in_state(name, state) for metric in found for state in STATES if name):
        parts.append(f'\n{name} to the best peer of each state:\n\n' + bench.markdown(state_cells(found, name)))
    return '\n'.join(parts) + '\n'


SCRIPT = '''set terminal svg size 1000,430 noenhanced font "sans,11" background "white"
set output "{out}"
set style data histogram
set style histogram cluster gap 1.5
set style fill solid 0.85 border -1
set boxwidth 0.95
set ylabel "speed, best peer = 1"
set yrange [0:*]
set grid ytics
set xtics rotate by -35
set key outside top center horizontal
plot 1 with lines lc rgb "black" dt 2 notitle, for [i=2:{last}] "{data}" using i:xtic(1) title columnheader(i)
'''


def plot(result, path):
    """Every contender's speed to the best peer's, as an SVG by gnuplot; says so when there is none."""
    if shutil.which('gnuplot') is None:
        print('no plot: gnuplot (package gnuplot-nox) is not installed')
        return
    found = metrics(result)
    names = [name for name in peers.CONTENDERS if any(name in metric.figures for metric in found)]
    lines = [' '.join(f'"{name}"' for name in ['work', *names])]
    for metric in found:
        rivals = [metric.median(name) for name in metric.figures if not ours(name) and name != peers.RING]
        if not rivals:
            continue
        best = min(rivals) if metric.lower else max(rivals)
        speed = [best / metric.median(name) if metric.lower else metric.median(name) / best for name in names]
        lines.append(f'"{metric.work} {metric.size}" ' + ' '.join(f'{figure:.3f}' for figure in speed))
    folder = bench.lab.scratch()
    data = os.path.join(folder, 'data')
    with open(data, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    subprocess.run(['gnuplot'], input=SCRIPT.format(out=path, data=data, last=len(names) + 1), text=True, check=True)
    print(f'plot: {path}')


def compare(first, second):
    """Do the ratios of two runs agree? 0 when each is within 10 % of the other's."""
    runs = [{(metric.work, metric.size): metric for metric in metrics(load(path))} for path in (first, second)]
    rows, apart = [['ratio', 'bytes', 'contender', 'first', 'second', 'apart']], 0
    for key in runs[0]:
        for name in runs[0][key].figures:
            if key not in runs[1] or name not in runs[1][key].figures or not ours(name):
                continue
            a, b = (run[key].ratio(name) for run in runs)
            if a is None or b is None:
                continue
            difference = abs(a[0] / b[0] - 1)
            fair = runs[0][key].fair and runs[1][key].fair
            apart += difference > AGREE
            rows.append([TITLES[key[0]], str(key[1]), name, f'{a[0]:.2f}', f'{b[0]:.2f}',
                         f'{difference:.0%}' + (' (!)' if difference > AGREE else '') + ('' if fair else ', few samples count')])
    if len(rows) == 1:
        print('nothing is in both runs')
        return 1
    print(bench.markdown(rows) + f'\n\n{apart} of {len(rows) - 1} ratios are more than {AGREE:.0%} apart.')
    return 1 if apart else 0
