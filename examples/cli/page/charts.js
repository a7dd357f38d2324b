'use strict';
// What pictures are made of: elements, colours, heat maps, curves and bars.

const dark = matchMedia('(prefers-color-scheme: dark)');

// --- Elements ---------------------------------------------------------------------------------------------------

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function svgElement(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const paragraph = (text, kind) => element('p', kind ? {class: kind} : {}, text);

/// 1234567 as "1.23M": three digits are enough to read.
function short(value) {
  if (value === null || value === undefined) return 'none';
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (size >= unit) return String(Number((value / (unit === 1e4 ? 1e3 : unit)).toPrecision(3))) + letter;
  }
  return String(Number(value.toPrecision(3)));
}

const half = log => `${short(10 ** log)} ${short(10 ** log) === '1' ? 'token' : 'tokens'}`;

function table(heads, rows) {
  const cell = (tag, text, i) => element(tag, i === 0 ? {} : {class: 'number'}, text);
  return element(
      'div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Table'},
      element(
          'table', {}, element('thead', {}, element('tr', {}, ...heads.map((text, i) => cell('th', text, i)))),
          element('tbody', {}, ...rows.map(row => element('tr', {}, ...row.map((text, i) => cell('td', text, i)))))));
}

/// A cell with a bar of a share, 0 .. 1.
function bar(share) {
  const made = element('div', {class: 'bar'});
  made.style.width = `${100 * share}%`;
  return element('td', {class: 'track'}, element('div', {}, made));
}

// --- Colours: scales whose lightness rises evenly, so that they read without colour vision, too --------------------

const viridis = ['#440154', '#3b528b', '#21918c', '#5ec962', '#fde725'];
const surprise = () => dark.matches ? ['#15171b', '#532a5e', '#a63d6c', '#ea7a52', '#fde3a0'] :
                                      ['#ffffff', '#fddc9f', '#f08a5d', '#b03a6b', '#4a1a5c'];
const signed = () => dark.matches ? ['#8ecbff', '#2b6cb0', '#15171b', '#b8651b', '#ffc078'] :
                                    ['#0b3c7d', '#6ba3d6', '#ffffff', '#e39a4f', '#7a3b00'];

const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));

/// The colour at t, 0 .. 1, of a scale.
function colour(stops, t) {
  const place = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const a = rgb(stops[i]), b = rgb(stops[i + 1]);
  return a.map((x, k) => Math.round(x + (b[k] - x) * (place - i)));
}

/// Black or white, whichever has the greater contrast (relative luminance of WCAG 2).
function inkOn(colours) {
  const [r, g, b] = colours.map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000000' : '#ffffff';
}

function legend(stops, from, to, title) {
  const ramp = element('span', {class: 'ramp'});
  ramp.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
  return element(
      'div', {class: 'legend'}, ...[title + ':', from].map(text => element('span', {}, text)), ramp,
      element('span', {}, to));
}

// --- Plots ------------------------------------------------------------------------------------------------------

/// Ticks of a logarithmic axis between powers of 10, as [place from 0 to 1, label].
function logTicks(low, high) {
  const ticks = [];
  const range = high - low, steps = range > 2.5 ? [1] : range > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  for (let power = Math.floor(low); power <= high; ++power) {
    for (const step of steps) {
      const log = power + Math.log10(step);
      if (log >= low - 1e-9 && log <= high + 1e-9) ticks.push([(log - low) / (high - low), short(step * 10 ** power)]);
    }
  }
  return ticks;
}

/// Labels of at most six of n places: the first, the last and some between, as [place from 0 to 1, label]. Places are
/// points from one end to the other, or where they are cells, the middle of them.
function countTicks(labels, areCells) {
  const n = labels.length, count = Math.min(n, 6);
  const place = k => areCells ? (k === 0 ? 0 : k === n - 1 ? 1 : (k + 0.5) / n) : n === 1 ? 0.5 : k / (n - 1);
  return Array.from({length: count}, (_, i) => {
    const k = count === 1 ? 0 : Math.round(i * (n - 1) / (count - 1));
    return [place(k), String(labels[k])];
  });
}

const clamp = (x, n) => Math.min(Math.max(x, 0), n - 1);

/// Lets somebody look around in a picture: `show` is given what move(dx, dy) makes of arrow keys and point(x, y), with
/// places from 0 to 1, of the pointer.
function explore(picture, label, {move, point}, show) {
  for (const [name, value] of [['role', 'img'], ['aria-label', label], ['tabindex', '0']])
    picture.setAttribute(name, value);
  picture.addEventListener('pointermove', event => {
    const box = picture.getBoundingClientRect();
    show(point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
  });
  picture.addEventListener('keydown', event => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    show(move(...step));
  });
}

/// Somebody who looks around in cells [rows][cols], and what choose(row, col) makes of each of them.
function cells(rows, cols, choose) {
  let row = 0, col = -1;
  const to = (y, x) => {
    row = clamp(y, rows);
    col = clamp(x, cols);
    return choose(row, col);
  };
  return {move: (dx, dy) => to(row + dy, col + dx), point: (x, y) => to(Math.floor(y * rows), Math.floor(x * cols))};
}

/// The frame of a plot around `picture`. For `look` see explore().
function plot({picture, height, rowTitle, colTitle, rowLabels, ticks, label, look}) {
  const readout =
      element('div', {class: 'readout', 'aria-live': 'polite'}, 'Point at the picture, or use the arrow keys in it.');
  const labels = element('div', {class: 'row-labels', 'aria-hidden': 'true'});
  for (const [place, text] of rowLabels) {
    const each = element('span', {}, text);
    each.style.top = `${100 * place}%`;
    labels.append(each);
  }
  const below = element('div', {class: 'ticks', 'aria-hidden': 'true'});
  for (const [place, text] of ticks) {
    const each = element('span', {}, text);
    each.style.left = `${100 * place}%`;
    below.append(each);
  }
  const mark = element('div', {class: 'mark', hidden: ''});
  const frame = element('div', {class: 'picture'}, picture, mark);
  frame.style.height = `${height}px`;
  explore(picture, label, look, found => {
    readout.textContent = found.text;
    mark.hidden = false;
    for (const side of ['left', 'top', 'width', 'height']) mark.style[side] = `${100 * found[side]}%`;
  });
  return element(
      'div', {},
      element(
          'div', {class: 'plot'}, element('div', {class: 'row-title'}, rowTitle), labels, frame, below,
          element('div', {class: 'col-title'}, colTitle)),
      readout);
}

/// Cells [rows][cols] by colour: value(row, col) is from 0 to 1, or null where there is none.
function heatmap({rows, cols, value, stops, describe, ...frame}) {
  const canvas = element('canvas', {width: cols, height: rows});
  paint(canvas, rows, cols, value, stops);
  const size = {width: 1 / cols, height: 1 / rows};
  const choose = (row, col) => ({text: describe(row, col), left: col / cols, top: row / rows, ...size});
  return plot({
    picture: canvas,
    height: Math.min(Math.max(rows * 20, 80), 420),
    look: cells(rows, cols, choose),
    ...frame,
  });
}

function paint(canvas, rows, cols, value, stops) {
  const context = canvas.getContext('2d'), image = context.createImageData(cols, rows);
  for (let row = 0; row < rows; ++row) {
    for (let col = 0; col < cols; ++col) {
      const t = value(row, col);
      if (t === null || t === undefined) continue;
      image.data.set([...colour(stops, t), 255], 4 * (row * cols + col));
    }
  }
  context.putImageData(image, 0, 0);
}

/// Curves over the same places x, on a logarithmic scale: series [n][x.length], null or 0 where there is nothing.
function curves({series, x, name, ...frame}) {
  const shown = series.flat().filter(value => value > 0);
  const most = shown.reduce((a, b) => Math.max(a, b));
  const least = Math.max(shown.reduce((a, b) => Math.min(a, b)), most / 1e6);
  let low = Math.log10(least), high = Math.log10(most);
  if (high - low < 0.3) {
    low -= 0.15;
    high += 0.15;
  }
  const place = value => value > 0 ? 1 - (Math.max(Math.log10(value), low) - low) / (high - low) : null;
  const svg = svgElement('svg', {viewBox: '0 0 1000 1000', preserveAspectRatio: 'none'});
  const across = i => x.length === 1 ? 0.5 : i / (x.length - 1);
  const lines = series.map((values, k) => {
    const points = values.map((value, i) => place(value) === null ? '' : `${1000 * across(i)},${1000 * place(value)}`);
    if (x.length === 1 && points[0]) points.push(`1000,${1000 * place(values[0])}`);  // a line, as points are not drawn
    const line = svgElement('polyline', {
      points: points.join(' '),
      fill: 'none',
      'vector-effect': 'non-scaling-stroke',
      class: 'curve',
      stroke: `rgb(${colour(curveScale(), series.length === 1 ? 0.5 : k / (series.length - 1))})`,
      'stroke-width': 1.5,
    });
    svg.append(line);
    return line;
  });
  let chosen = -1, at = 0;
  const choose = () => {
    lines.forEach((line, k) => line.setAttribute('stroke-width', k === chosen ? 4 : 1.5));
    const value = series[chosen][at];
    return {
      text: `${name(chosen)}, after token ${x[at]}: ${short(value)}`,
      left: across(at),
      top: (place(value) || 0) - 0.01,
      width: 0,
      height: 0.02
    };
  };
  return plot({
    picture: svg,
    height: 260,
    rowLabels: logTicks(low, high).map(([t, text]) => [1 - t, text]),
    ticks: countTicks(x),
    look: {
      move: (dx, dy) => {
        chosen = clamp(chosen + dy, series.length);
        at = clamp(at + dx, x.length);
        return choose();
      },
      point: (px, py) => {
        at = clamp(Math.round(px * (x.length - 1)), x.length);
        const distance = k => {
          const t = place(series[k][at]);
          return t === null ? 9 : Math.abs(t - py);
        };
        chosen = series.reduce((best, _, k) => distance(k) < distance(best) ? k : best, 0);
        return choose();
      },
    },
    ...frame,
  });
}

/// The part of viridis that can be seen on the background.
const curveScale = () => dark.matches ? viridis.slice(1) : viridis.slice(0, 4);
