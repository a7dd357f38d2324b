'use strict';
// Draws the pictures from the data in the page. What comes from a model or a text is only ever set as text.

const data = JSON.parse(document.getElementById('data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
let chosenLayer = 0;

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
  return element('div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Table'}, element('table', {},
      element('thead', {}, element('tr', {}, ...heads.map((text, i) => cell('th', text, i)))),
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
const surprise = () => dark.matches ? ['#15171b', '#532a5e', '#a63d6c', '#ea7a52', '#fde3a0']
                                    : ['#ffffff', '#fddc9f', '#f08a5d', '#b03a6b', '#4a1a5c'];
const signed = () => dark.matches ? ['#8ecbff', '#2b6cb0', '#15171b', '#b8651b', '#ffc078']
                                  : ['#0b3c7d', '#6ba3d6', '#ffffff', '#e39a4f', '#7a3b00'];

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
  return element('div', {class: 'legend'}, ...[title + ':', from].map(text => element('span', {}, text)), ramp, element('span', {}, to));
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

/// The first, the last, and some between, as [place, label], of n columns that begin with `first`.
function countTicks(labels) {
  const n = labels.length, count = Math.min(n, 6), ticks = [];
  for (let i = 0; i < count; ++i) {
    const k = count === 1 ? 0 : Math.round(i * (n - 1) / (count - 1));
    ticks.push([n === 1 ? 0 : (k + (i === 0 ? 0 : i === count - 1 ? 1 : 0.5)) / n, String(labels[k])]);
  }
  return ticks;
}

/// Lets somebody look around in a picture: `show` is given what move(dx, dy) makes of arrow keys and point(x, y), with
/// places from 0 to 1, of the pointer.
function explore(picture, label, {move, point}, show) {
  for (const [name, value] of [['role', 'img'], ['aria-label', label], ['tabindex', '0']]) picture.setAttribute(name, value);
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
  const to = (y, x) => { row = clamp(y, rows); col = clamp(x, cols); return choose(row, col); };
  return {move: (dx, dy) => to(row + dy, col + dx), point: (x, y) => to(Math.floor(y * rows), Math.floor(x * cols))};
}

/// The frame of a plot around `picture`. For `look` see explore().
function plot({picture, height, rowTitle, colTitle, rowLabels, ticks, label, look}) {
  const readout = element('div', {class: 'readout', 'aria-live': 'polite'}, 'Point at the picture, or use the arrow keys in it.');
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
  return element('div', {}, element('div', {class: 'plot'},
      element('div', {class: 'row-title'}, rowTitle), labels, frame, below,
      element('div', {class: 'col-title'}, colTitle)), readout);
}

const clamp = (x, n) => Math.min(Math.max(x, 0), n - 1);

/// Cells [rows][cols] by colour: value(row, col) is from 0 to 1, or null where there is none.
function heatmap({rows, cols, value, stops, describe, height, ...frame}) {
  const canvas = element('canvas', {width: cols, height: rows});
  paint(canvas, rows, cols, (row, col) => value(row, col), stops);
  return plot({
    picture: canvas,
    height: height || Math.min(Math.max(rows * 20, 80), 420),
    look: cells(rows, cols, (row, col) => ({text: describe(row, col), left: col / cols, top: row / rows, width: 1 / cols, height: 1 / rows})),
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
function curves({series, x, name, unit, ...frame}) {
  const shown = series.flat().filter(value => value > 0);
  const most = shown.reduce((a, b) => Math.max(a, b)), least = Math.max(shown.reduce((a, b) => Math.min(a, b)), most / 1e6);
  let low = Math.log10(least), high = Math.log10(most);
  if (high - low < 0.3) { low -= 0.15; high += 0.15; }
  const place = value => value > 0 ? 1 - (Math.max(Math.log10(value), low) - low) / (high - low) : null;
  const svg = svgElement('svg', {viewBox: '0 0 1000 1000', preserveAspectRatio: 'none'});
  const across = i => x.length === 1 ? 0.5 : i / (x.length - 1);
  const lines = series.map((values, k) => {
    const points = values.map((value, i) => place(value) === null ? '' : `${1000 * across(i)},${1000 * place(value)}`);
    const line = svgElement('polyline', {
      points: points.join(' '), fill: 'none', 'vector-effect': 'non-scaling-stroke', class: 'curve',
      stroke: `rgb(${colour(curveScale(), series.length === 1 ? 0.5 : k / (series.length - 1))})`, 'stroke-width': 1.5,
    });
    svg.append(line);
    return line;
  });
  let chosen = -1, at = 0;
  const choose = () => {
    lines.forEach((line, k) => line.setAttribute('stroke-width', k === chosen ? 4 : 1.5));
    const value = series[chosen][at];
    return {text: `${name(chosen)}, after token ${x[at]}: ${short(value)} ${unit}`,
            left: across(at), top: (place(value) || 0) - 0.01, width: 0, height: 0.02};
  };
  return plot({
    picture: svg, height: 260, rowLabels: logTicks(low, high).map(([t, text]) => [1 - t, text]),
    ticks: countTicks(x),
    look: {
      move: (dx, dy) => { chosen = clamp(chosen + dy, series.length); at = clamp(at + dx, x.length); return choose(); },
      point: (px, py) => {
        at = clamp(Math.round(px * (x.length - 1)), x.length);
        const distance = k => { const t = place(series[k][at]); return t === null ? 9 : Math.abs(t - py); };
        chosen = series.reduce((best, _, k) => distance(k) < distance(best) ? k : best, 0);
        return choose();
      },
    },
    ...frame,
  });
}

/// The part of viridis that can be seen on the background.
const curveScale = () => dark.matches ? viridis.slice(1) : viridis.slice(0, 4);

// --- How long it remembers --------------------------------------------------------------------------------------

const isMatrixState7 = /^[78]/.test(data.generation);

function aboutDecay(source) {
  const n = data.text ? data.text.n_tokens : 0;
  const texts = {
    weights: `The decay of RWKV-${data.generation} is the same for every token: this is what the weights say.`,
    bias: `The decay of RWKV-${data.generation} depends on what it reads. No text was read, so these are the half-lives of ` +
        'its constant part (the bias); in a text they differ from token to token.',
    text: `The decay of RWKV-${data.generation} depends on what it reads: these are the half-lives of the mean log-decay ` +
        `over the ${n} tokens of the text below.`,
  };
  return texts[source];
}

function layerLabels() {
  const n = data.n_layer, step = Math.ceil(n / 16);
  return Array.from({length: Math.ceil(n / step)}, (_, i) => [(i * step + 0.5) / n, String(i * step)]);
}

function showMemory(box) {
  const {source, unit, low, high, layers, n_together: together} = data.half_life;
  if (source === 'none') {
    box.append(paragraph('RWKV-1 has no decay: it weighs the tokens of a context of fixed length by their distance. There is no half-life to show.'));
    return;
  }
  box.append(paragraph(`The half-life of a ${unit}: after so many tokens half of what it remembered is left, ` +
                       'ln 2 / −ln w for the decay w of a token. ' + aboutDecay(source)));
  if (isMatrixState7) {
    box.append(paragraph('RWKV-7 also overwrites what it remembers under a key when the key comes again; that is not in these numbers.', 'note'));
  }
  if (layers.some(layer => layer === null)) {
    box.append(paragraph('A layer without a picture has a second channel mixing in place of time mixing (ffnPre).', 'note'));
  }
  const present = layers.filter(layer => layer !== null);
  const nBins = present.length ? present[0].bins.length : 1;
  const most = Math.max(...present.map(layer => Math.max(...layer.bins)));
  const bin = i => low + i * (high - low) / nBins;
  const common = {rows: data.n_layer, rowTitle: 'layer', rowLabels: layerLabels(), stops: viridis};
  box.append(
      element('h3', {}, `Distribution in each layer`),
      heatmap({
        ...common, cols: nBins, ticks: logTicks(low, high), colTitle: 'half-life in tokens, logarithmic',
        label: `Heat map: share of the ${unit}s of each layer by half-life. The numbers are in the table below.`,
        value: (row, col) => layers[row] && (layers[row].bins[col] > 0 ? Math.sqrt(layers[row].bins[col] / most) : null),
        describe: (row, col) => layers[row] === null ? `Layer ${row} has no time mixing.` :
            `Layer ${row}: ${short(100 * layers[row].bins[col])} % of the ${unit}s between ${half(bin(col))} and ${half(bin(col + 1))}`,
      }),
      legend(viridis, 'few', `${short(100 * most)} %`, `share of the layer's ${unit}s (square-root scale)`));
  const cols = Math.max(...present.map(layer => layer.channels.length));
  const numbers = Array.from({length: cols}, (_, i) => i * together);
  box.append(
      element('h3', {}, `Each ${unit}`),
      heatmap({
        ...common, cols, ticks: countTicks(numbers), colTitle: `${unit}, as numbered in the model`,
        label: `Heat map: half-life of each ${unit} of each layer.`,
        value: (row, col) => layers[row] && layers[row].channels[col] !== undefined ?
            (layers[row].channels[col] - low) / (high - low) : null,
        describe: (row, col) => layers[row] === null ? `Layer ${row} has no time mixing.` :
            `Layer ${row}, ${unit} ${numbers[col]}${together > 1 ? ` to ${numbers[col] + together - 1}` : ''}: half-life ${half(layers[row].channels[col])}`,
      }),
      legend(viridis, half(low), half(high), 'half-life'));
  if (together > 1) box.append(paragraph(`Each cell is the geometric mean of ${together} neighbouring ${unit}s.`, 'note'));
  box.append(element('details', {}, element('summary', {}, 'Half-lives as numbers'),
      table(['layer', 'least', 'quarter below', 'median', 'quarter above', 'most'],
            layers.map((layer, i) => [String(i), ...(layer === null ? Array(5).fill('none') :
                layer.quantiles.map(each => each === null ? 'without end' : short(each)))])),
      paragraph('In tokens.', 'note')));
}

// --- How much each token surprises it ---------------------------------------------------------------------------

const mostBits = 12;
const noText = 'No text was read. With --prompt TEXT or --prompt-file FILE the page shows here what the model makes of it.';

/// A token as the data has it: its text, or [text, true] if that has escapes. In a line of its own it does not break it.
function tokenText(token, tag, isInLine) {
  const isEscaped = Array.isArray(token), text = isEscaped ? token[0] : token;
  const visible = text.replace(/\n/g, isInLine ? '↵' : '↵\n').replace(/\t/g, '⇥\t');
  return element(tag, isEscaped ? {class: 'escaped'} : {}, visible);
}

function candidatesTable(candidates, found) {
  return element('table', {class: 'bars'}, element('tbody', {}, ...candidates.map(([token, p]) => {
    const name = tokenText(token, 'th', true);
    name.setAttribute('scope', 'row');
    if (JSON.stringify(token) === JSON.stringify(found)) name.append(' ✓');
    return element('tr', {class: 'candidate'}, name, element('td', {class: 'number'}, `${short(100 * p)} %`), bar(p));
  })));
}

function showDetail(box, place) {
  const [token, id, bits, rank, candidates] = data.text.tokens[place];
  const head = element('p', {}, `Token ${place + 1}: `, tokenText(token, 'q', true), ` (id ${id})`);
  if (rank === undefined) {
    box.replaceChildren(head, paragraph('The first token: there was nothing before it to expect it from.'));
    return;
  }
  head.append(bits === null ? ': impossible to the model' :
      `: ${short(bits)} bits, p = ${short(2 ** -bits)}, ${rank === 1 ? 'the likeliest' : `number ${rank} by likelihood`}`);
  box.replaceChildren(head, paragraph('Expected here:', 'note'), candidatesTable(candidates, token));
}

function showText(box) {
  if (!data.text) return void box.append(paragraph(noText));
  const {origin, tokens, next, n_tokens: n, n_left_out: left, n_scored: scored} = data.text;
  box.append(paragraph(`Each token of ${origin} is coloured by its surprise, −log2 p in bits: how unlikely the model thought ` +
                       'it after all tokens before. Point at a token, or move with the arrow keys, to see what was expected in its place.'));
  const figure = (value, title) => element('div', {}, element('b', {}, value), title);
  box.append(element('div', {class: 'figures'},
      figure(String(n), 'tokens'),
      ...(scored === 0 ? [] : [figure(short(data.text.bits), `bits in ${scored} predicted tokens`),
                               figure(data.text.bits_per_byte === null ? 'none' : data.text.bits_per_byte.toFixed(4), 'bits per byte'),
                               figure(short(data.text.perplexity), 'perplexity of a token')])));
  if (left > 0) box.append(paragraph(`The text goes on for ${left} tokens, which were left out.`, 'note'));
  const stops = surprise();
  box.append(legend(stops, '0', `${mostBits} and more`, 'surprise in bits'));
  const text = element('div', {class: 'tokens', role: 'group', 'aria-label': 'The text, token by token'});
  const detail = element('div', {class: 'detail', 'aria-live': 'polite'});
  let chosen = 0;
  const spans = tokens.map(([token, , bits, rank], i) => {
    const span = tokenText(token, 'span');
    span.classList.add('token');
    span.tabIndex = i === 0 ? 0 : -1;
    span.dataset.place = i;
    if (rank === undefined) {
      span.classList.add('unseen');
    } else {
      const back = colour(stops, (bits === null ? mostBits : bits) / mostBits);
      span.style.background = `rgb(${back})`;
      span.style.color = inkOn(back);
    }
    return span;
  });
  const choose = place => {
    spans[chosen].classList.remove('chosen');
    spans[chosen].tabIndex = -1;
    chosen = place;
    spans[chosen].classList.add('chosen');
    spans[chosen].tabIndex = 0;
    showDetail(detail, place);
  };
  const placeOf = event => event.target.closest('.token') && Number(event.target.closest('.token').dataset.place);
  for (const kind of ['pointerover', 'focusin']) {
    text.addEventListener(kind, event => { if (placeOf(event) !== null) choose(placeOf(event)); });
  }
  text.addEventListener('keydown', event => {
    const to = {ArrowLeft: chosen - 1, ArrowRight: chosen + 1, ArrowUp: chosen - 10, ArrowDown: chosen + 10, Home: 0, End: n - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    spans[clamp(to, n)].focus();
  });
  text.append(...spans);
  const surpriseOf = place => tokens[place][2] === undefined ? -1 : tokens[place][2] ?? Infinity;
  choose(tokens.reduce((most, _, place) => surpriseOf(place) > surpriseOf(most) ? place : most, 0));
  box.append(text, detail);
  if (next.length > 0) box.append(element('h3', {}, 'What it expects next'), candidatesTable(next, undefined));
}

// --- What its state holds ---------------------------------------------------------------------------------------

function aboutState({is_matrix: isMatrix, rows, cols, n_rows: nRows}) {
  if (!isMatrix) return 'For each channel RWKV-2 to 4 remember a mean of the values so far, in which each counts by its key and loses weight with its age.';
  return `Each head remembers a matrix: rows are channels of the ${rows}, columns of the ${cols}.`;
}

function showNorms(box, redraw) {
  const {after, layers} = data.norms;
  const together = layers.map(heads => after.map((_, p) => Math.sqrt(heads.reduce((sum, head) => sum + head[p] ** 2, 0))));
  const common = {x: after, colTitle: 'tokens read', rowTitle: 'norm, logarithmic', unit: ''};
  box.append(element('h3', {}, 'How it fills: the norm of each layer'));
  if (together.flat().every(value => !(value > 0))) return void box.append(paragraph('It stays empty.'));
  box.append(curves({...common, series: together, name: k => `Layer ${k}`, label: 'Curves: norm of the state of each layer over the tokens.'}),
             legend(curveScale(), '0', String(layers.length - 1), 'layer'));
  const select = element('select', {id: 'layer'}, ...layers.map((_, i) => element('option', {value: i}, String(i))));
  select.value = String(chosenLayer);
  select.addEventListener('change', () => { chosenLayer = Number(select.value); redraw(); });
  box.append(element('p', {}, element('label', {for: 'layer'}, 'Look into layer '), select));
}

function showHeads(box) {
  const {layers, n_rows: nRows, n_cols: nCols, n_together: together, is_matrix: isMatrix, rows, cols} = data.state;
  const {after, layers: norms} = data.norms;
  const heads = layers[chosenLayer], series = norms[chosenLayer];
  if (heads.length === 0) return void box.append(paragraph(`Layer ${chosenLayer} has no time mixing (ffnPre).`));
  if (isMatrix && series.flat().some(value => value > 0)) {
    box.append(element('h3', {}, `The norm of each head of layer ${chosenLayer}`),
        curves({x: after, colTitle: 'tokens read', rowTitle: 'norm, logarithmic', unit: '', series,
                name: k => `Head ${k}`, label: `Curves: norm of each head of layer ${chosenLayer} over the tokens.`}),
        legend(curveScale(), '0', String(series.length - 1), 'head'));
  }
  box.append(element('h3', {}, `Layer ${chosenLayer} after the last token`), paragraph(aboutState(data.state)));
  const stops = signed();
  box.append(legend(stops, '−m', 'm', 'value, by its square root; m is the largest absolute value of the picture'));
  if (together > 1) box.append(paragraph(`Each cell is the value farthest from 0 of ${isMatrix ? `${together} × ${together}` : together} neighbours.`, 'note'));
  const readout = element('div', {class: 'readout', 'aria-live': 'polite'}, 'Point at a picture, or use the arrow keys in it.');
  const wrapped = isMatrix ? nCols : Math.min(64, nCols);  // a vector is broken into rows
  const shownRows = Math.ceil(nRows * nCols / wrapped);
  const grid = element('div', {class: isMatrix ? 'heads' : 'heads vector'});
  heads.forEach(([most, code], head) => {
    const bytes = atob(code);
    const at = i => { const byte = bytes.charCodeAt(i); return (byte < 128 ? byte : byte - 256) / 127; };
    const name = isMatrix ? `head ${head}` : `${nCols * together} channels, row by row`;
    const norm = short(series[head][after.length - 1]);
    const canvas = element('canvas', {width: wrapped, height: shownRows});
    paint(canvas, shownRows, wrapped, (row, col) => row * wrapped + col < bytes.length ? (at(row * wrapped + col) + 1) / 2 : null, stops);
    const label = `Heat map of layer ${chosenLayer}, ${name}: values up to ${short(most)}, norm ${norm}`;
    explore(canvas, label, cells(shownRows, wrapped, (row, col) => {
      const t = at(Math.min(row * wrapped + col, bytes.length - 1));
      const place = isMatrix ? `${rows} ${row * together}, ${cols} ${col * together}` : `channel ${(row * wrapped + col) * together}`;
      return `Layer ${chosenLayer}, ${isMatrix ? name + ', ' : ''}${place}: about ${short(t * Math.abs(t) * most)}`;
    }), text => { readout.textContent = text; });
    grid.append(element('figure', {class: 'head'}, canvas, element('figcaption', {}, `${name}: m = ${short(most)}, norm ${norm}`)));
  });
  box.append(grid, readout);
}

function showState(box) {
  if (!data.text) return void box.append(paragraph(noText));
  if (!data.state) return void box.append(paragraph(`RWKV-${data.generation} keeps every token of its context by itself, not a state of fixed size: there is nothing to show.`));
  const inside = element('div');
  const redraw = () => { inside.replaceChildren(); showHeads(inside); };
  showNorms(box, redraw);
  box.append(inside);
  redraw();
}

// --- How many hidden units are zero -----------------------------------------------------------------------------

function showZeros(box) {
  if (!data.text) return void box.append(paragraph(noText));
  if (data.zeros.every(share => share === null)) {
    box.append(paragraph('Nothing was counted: the channel mixing of this model has no square of a rectified product, or its weights were copied (--interleave).'));
    return;
  }
  box.append(paragraph('Channel mixing sets what is negative to zero (squared ReLU). The bars are the share of hidden units that were zero, ' +
                       'over all tokens of the text: weights that meet only zeros need not be read (--sparse).'));
  box.append(element('table', {class: 'bars'},
      element('thead', {}, element('tr', {}, element('th', {scope: 'col'}, 'layer'), element('th', {scope: 'col', class: 'number'}, 'zero'),
                                   element('th', {scope: 'col'}, 'share, 0 to 100 %'))),
      element('tbody', {}, ...data.zeros.map((share, i) => {
        return element('tr', {class: 'layer'}, element('th', {scope: 'row'}, String(i)),
                       element('td', {class: 'number'}, share === null ? 'none' : `${(100 * share).toFixed(1)} %`),
                       bar(share || 0));
      }))));
}

// --- The page ---------------------------------------------------------------------------------------------------

function show() {
  document.title = `${data.title}: rwkv inspect`;
  document.getElementById('title').textContent = data.title;
  document.getElementById('facts').replaceChildren(
      ...data.facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
  for (const [id, draw] of [['memory', showMemory], ['text', showText], ['state', showState], ['zeros', showZeros]]) {
    const box = document.getElementById(id);
    box.replaceChildren();
    draw(box);
  }
}

dark.addEventListener('change', show);
show();
