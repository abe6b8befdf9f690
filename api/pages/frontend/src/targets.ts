// 指标: trend charts. ECharts with only what these need, drawn with the page's own colours and face.

import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from 'echarts/components';
import { init, use, type EChartsCoreOption } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { all, one } from './lib/dom';

use([BarChart, LineChart, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

/** What the server says: words, numbers, and which look each series has; no colours, no options. */
interface Series {
  name: string;
  look: 'done' | 'due' | 'bar' | 'beside';
  values: (number | null)[];
}
interface Chart {
  unit: string;
  labels: string[];
  series: Series[];
  /** A line across: what is asked. */
  goal?: { name: string; value: number };
}

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function seriesOf(series: Series, chart: Chart, first: boolean): object {
  const goal = chart.goal;
  const mark = first && goal && {
    symbol: 'none',
    silent: true,
    lineStyle: { color: token('ink'), type: 'dashed', width: 1 },
    label: { formatter: `${goal.name} ${goal.value}${chart.unit}`, position: 'insideStartTop', color: token('ink') },
    data: [{ yAxis: goal.value }],
  };
  const common = { name: series.name, data: series.values, markLine: mark || undefined };
  if (series.look === 'bar' || series.look === 'beside') {
    const color = token(series.look === 'bar' ? 'gold-line' : 'edge');
    return { ...common, type: 'bar', barMaxWidth: 28, itemStyle: { color, borderRadius: [4, 4, 0, 0] } };
  }
  const due = series.look === 'due';
  return {
    ...common,
    type: 'line',
    step: due ? 'end' : undefined,
    symbol: due ? 'none' : 'circle',
    symbolSize: 7,
    lineStyle: { color: due ? token('edge') : token('red'), width: due ? 1.5 : 2.5, type: due ? 'dashed' : 'solid' },
    itemStyle: { color: due ? token('edge') : token('red') },
  };
}

/** A round number a little above the goal, so that its line does not lie on the frame. */
function ceiling(goal: number): number {
  const rough = (goal * 1.05) / 5;
  const scale = 10 ** Math.floor(Math.log10(rough || 1));
  const step = ([1, 2, 2.5, 5, 10].find((nice) => nice * scale >= rough) ?? 10) * scale;
  return Math.ceil((goal * 1.05) / step) * step;
}

function optionOf(chart: Chart): EChartsCoreOption {
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.82;
  const text = { color: token('ink-soft'), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: size };
  const most = Math.max(0, ...chart.series.flatMap((s) => s.values.map((v) => v ?? 0)));
  return {
    animation: !matchMedia('(prefers-reduced-motion: reduce)').matches,
    animationDuration: 200,
    textStyle: text,
    grid: { left: 8, right: 16, top: 40, bottom: 8, containLabel: true },
    legend: { top: 0, left: 0, itemWidth: 22, itemHeight: 8, textStyle: text, data: chart.series.map((s) => s.name) },
    tooltip: {
      trigger: 'axis',
      // Words are drawn on the canvas: HTML with style attributes is what our CSP shuts out.
      renderMode: 'richText',
      backgroundColor: token('ink'),
      borderWidth: 0,
      textStyle: { ...text, color: token('paper') },
      valueFormatter: (value: unknown) => (value === null || value === undefined ? '—' : `${String(value)}${chart.unit}`),
    },
    xAxis: {
      type: 'category',
      data: chart.labels,
      axisLabel: { ...text, hideOverlap: true },
      axisLine: { lineStyle: { color: token('edge') } },
      axisTick: { show: false },
    },
    yAxis: {
      type: 'value',
      max: chart.goal && chart.goal.value > most ? ceiling(chart.goal.value) : undefined,
      axisLabel: text,
      splitLine: { lineStyle: { color: token('line') } },
    },
    series: chart.series.map((s, i) => seriesOf(s, chart, i === 0)),
  };
}

function draw(figure: HTMLElement): void {
  const box = one('.chart-box', figure);
  const data = document.getElementById(figure.dataset.chart ?? '')?.textContent;
  if (!box || !data) return;
  box.textContent = '';
  const chart = init(box);
  chart.setOption(optionOf(JSON.parse(data) as Chart));
  if (typeof ResizeObserver === 'function') new ResizeObserver(() => chart.resize()).observe(box);
}

function drawAll(): void {
  for (const figure of all('[data-chart]:not([data-drawn])')) {
    figure.dataset.drawn = '1';
    draw(figure);
  }
}

drawAll();
// The curve of the whole comes after the page.
document.addEventListener('htmx:after:swap', drawAll);
