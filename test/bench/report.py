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
PAIRS = 3  # rounds in which both have to count for a ratio by rounds
AGREE = 0.10


def load(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def ours(name):
    return name.startswith('vbus')


class Metric:
    """One row of the table: {name: [figure or None per round]}, of the samples that count, or of all."""

    def __init__(self, row, work, pick):
        self.work, self.size, self.lower = work, row['size'], work.startswith('rtt')
        names = [name for name in [*peers.CONTENDERS, peers.RING] if any(name in taken for taken in row['rounds'])]
        self.fair = all(sum(taken[name][1] for taken in row['rounds']) >= 2 for name in names)
        self.figures = {name: [pick(taken[name][0]) if taken[name][1] or not self.fair else None for taken in row['rounds']]
                        for name in names}

    def of(self, name):
        return [figure for figure in self.figures[name] if figure is not None]

    def median(self, name):
        return statistics.median(self.of(name))

    def to(self, name, peer):
        """The ratio of two contenders: by rounds, where enough of these have both."""
        both = [a / b for a, b in zip(self.figures[name], self.figures[peer]) if a and b]
        return statistics.median(both) if len(both) >= PAIRS else self.median(name) / self.median(peer)

    def ratio(self, name):
        """(to the best peer, its name): the worst of the ratios to each; None without a peer."""
        ratios = [(self.to(name, peer), peer) for peer in self.figures if not ours(peer) and peer != peers.RING]
        if not ratios:
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
    found = []
    for row in result['rows']:
        if not row['rounds']:
            continue
        if row['work'] == 'rtt':
            found += [Metric(row, 'rtt p50', lambda figure: figure[0]), Metric(row, 'rtt p99.9', lambda figure: figure[2])]
        else:
            found.append(Metric(row, row['work'], lambda figure: figure))
    return sorted(found, key=lambda metric: (list(TITLES).index(metric.work), metric.size))


def cells(found, names):
    rows = [['work', 'bytes', *names, 'rounds']]
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


def text(result):
    """What stands in doc/performance.md."""
    found = metrics(result)
    names = [name for name in [*peers.CONTENDERS, peers.RING] if any(name in metric.figures for metric in found)]
    mine = [name for name in names if ours(name)]
    parts = [f'\n{result["about"]}; {"hugepages" if result["hugepages"] else "no hugepages"}; `{result["command"]}`, '
             f'{result["seconds"]} s.\n{result["verdict"]}.\n'
             'Mpps, or ns for round trips: median (first - third quartile) of the rounds that count:\n',
             bench.markdown(cells(found, names))]
    if any(not metric.fair for metric in found):
        parts.append(f'\n(!) {bench.UNFAIR}')
    ratios = ratio_cells(found, mine) if mine else []
    if len(ratios) > 1:
        parts.append('\nRatios, by rounds; above 1 we are faster, in round trips below 1:\n\n' + bench.markdown(ratios))
    short = [metric for metric in found if min(len(metric.of(name)) for name in metric.figures) < result['rounds']]
    if short:
        parts.append(f'\n{len(short)} of {len(found)} rows have fewer than the {result["rounds"]} rounds that were asked for.')
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
