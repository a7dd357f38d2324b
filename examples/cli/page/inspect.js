'use strict';
// Draws the pictures from the data in the page. What comes from a model or a text is only ever set as text.

const data = JSON.parse(document.getElementById('data').textContent);
let chosenLayer = 0;

// --- How long it remembers --------------------------------------------------------------------------------------

function aboutDecay(source) {
  const n = data.text ? data.text.n_tokens : 0;
  const texts = {
    weights: `The decay of RWKV-${data.generation} is the same for every token: this is what the weights say.`,
    bias: `The decay of RWKV-${
              data.generation} depends on what it reads. No text was read, so these are the half-lives of ` +
        'its constant part (the bias); in a text they differ from token to token.',
    text: `The decay of RWKV-${
              data.generation} depends on what it reads: these are the half-lives of the mean log-decay ` +
        `over the ${n} tokens of the text below.`,
  };
  return texts[source];
}

function layerLabels() {
  const n = data.n_layer, step = Math.ceil(n / 16);
  return Array.from({length: Math.ceil(n / step)}, (_, i) => [(i * step + 0.5) / n, String(i * step)]);
}

/// What share of the channels of each layer has which half-life.
function distribution({unit, low, high, layers}, common) {
  const present = layers.filter(layer => layer !== null), cols = present[0].bins.length;
  const most = Math.max(...present.map(layer => Math.max(...layer.bins)));
  const bound = i => half(low + i * (high - low) / cols);
  const describe = (row, col) => {
    if (layers[row] === null) return `Layer ${row} has no time mixing.`;
    const share = short(100 * layers[row].bins[col]);
    return `Layer ${row}: ${share} % of the ${unit}s between ${bound(col)} and ${bound(col + 1)}`;
  };
  const value = (row, col) => layers[row] && layers[row].bins[col] ? Math.sqrt(layers[row].bins[col] / most) : null;
  const map = heatmap({
    ...common,
    cols,
    value,
    describe,
    ticks: logTicks(low, high),
    colTitle: 'half-life in tokens, logarithmic',
    label: `Heat map: share of the ${unit}s of each layer by half-life. The numbers are in the table below.`,
  });
  return [map, legend(viridis, 'few', `${short(100 * most)} %`, `share of the layer's ${unit}s (square-root scale)`)];
}

/// The half-life of each channel of each layer.
function channelMap({unit, low, high, layers, n_together: together}, common) {
  const cols = Math.max(...layers.map(layer => layer === null ? 0 : layer.channels.length));
  const first = Array.from({length: cols}, (_, i) => i * together);
  const value = (row, col) => layers[row] ? (layers[row].channels[col] - low) / (high - low) : null;
  const describe = (row, col) => {
    if (layers[row] === null) return `Layer ${row} has no time mixing.`;
    const which = together > 1 ? `${unit}s ${first[col]} to ${first[col] + together - 1}` : `${unit} ${first[col]}`;
    return `Layer ${row}, ${which}: half-life ${half(layers[row].channels[col])}`;
  };
  const map = heatmap({
    ...common,
    cols,
    value,
    describe,
    ticks: countTicks(first, true),
    colTitle: `${unit}, as numbered in the model`,
    label: `Heat map: half-life of each ${unit} of each layer.`,
  });
  const note = `Each cell is the geometric mean of ${together} neighbouring ${unit}s.`;
  return [map, legend(viridis, half(low), half(high), 'half-life'), ...(together > 1 ? [paragraph(note, 'note')] : [])];
}

function halfLifeTable(layers) {
  const number = x => x === null ? '∞' : short(x);
  const numbers = layer => layer === null ? Array(5).fill('none') : layer.quantiles.map(number);
  return element(
      'details', {}, element('summary', {}, 'Half-lives as numbers'),
      table(
          ['layer', 'least', 'quarter below', 'median', 'quarter above', 'most'],
          layers.map((layer, i) => [String(i), ...numbers(layer)])),
      paragraph('In tokens.', 'note'));
}

function showMemory(box) {
  const {source, unit, layers} = data.half_life;
  if (source === 'none') {
    box.append(paragraph(
        'RWKV-1 has no decay: it weighs the tokens of a context of fixed length by their distance. There is no ' +
        'half-life to show.'));
    return;
  }
  box.append(paragraph(
      `The half-life of a ${unit}: after so many tokens half of what it remembered is left, ` +
      `ln 2 / −ln w for the decay w of a token. ${aboutDecay(source)}`));
  if (/^[78]/.test(data.generation)) {
    box.append(paragraph(
        'RWKV-7 also overwrites what it remembers under a key when the key comes again; that is not in these numbers.',
        'note'));
  }
  if (layers.includes(null)) {
    box.append(paragraph('The first layer has a second channel mixing in place of time mixing (ffnPre).', 'note'));
  }
  if (layers.every(layer => layer === null)) return;
  const common = {rows: data.n_layer, rowTitle: 'layer', rowLabels: layerLabels(), stops: viridis};
  box.append(
      element('h3', {}, 'Distribution in each layer'), ...distribution(data.half_life, common),
      element('h3', {}, `Each ${unit}`), ...channelMap(data.half_life, common), halfLifeTable(layers));
}

// --- How much each token surprises it ---------------------------------------------------------------------------

const mostBits = 12;
const noText =
    'No text was read. With --prompt TEXT or --prompt-file FILE the page shows here what the model makes of it.';

/// A token as the data has it: its text, or [text, true] if that has escapes. Within a line it does not break it.
function tokenText(token, tag, isInLine) {
  const isEscaped = Array.isArray(token), text = isEscaped ? token[0] : token;
  const visible = text.replace(/\n/g, isInLine ? '↵' : '↵\n').replace(/\t/g, '⇥\t');
  return element(tag, isEscaped ? {class: 'escaped'} : {}, visible);
}

/// Candidates with bars; the one of the rank that came is marked.
function candidatesTable(candidates, rank) {
  const rows = candidates.map(([token, p], i) => {
    const name = tokenText(token, 'th', true);
    name.setAttribute('scope', 'row');
    if (i + 1 === rank) name.append(' ✓');
    return element('tr', {class: 'candidate'}, name, element('td', {class: 'number'}, `${short(100 * p)} %`), bar(p));
  });
  return element('table', {class: 'bars'}, element('tbody', {}, ...rows));
}

function showDetail(box, place) {
  const [token, id, bits, rank, candidates] = data.text.tokens[place];
  const head = element('p', {}, `Token ${place + 1}: `, tokenText(token, 'q', true), ` (id ${id})`);
  if (rank === undefined) {
    box.replaceChildren(head, paragraph('The first token: there was nothing before it to expect it from.'));
    return;
  }
  const order = rank === 1 ? 'the likeliest' : `number ${rank} by likelihood`;
  const figures = bits === null ? 'impossible to the model' : `${short(bits)} bits, p = ${short(2 ** -bits)}, ${order}`;
  head.append(`: ${figures}`);
  box.replaceChildren(head, paragraph('Expected here:', 'note'), candidatesTable(candidates, rank));
}

/// The tokens as elements, coloured by their surprise.
function tokenSpans(tokens, stops) {
  return tokens.map(([token, , bits, rank], i) => {
    const span = tokenText(token, 'span');
    span.classList.add('token');
    span.dataset.place = i;
    span.tabIndex = -1;
    if (rank === undefined) {
      span.classList.add('unseen');
    } else {
      const back = colour(stops, bits === null ? 1 : bits / mostBits);
      span.style.background = `rgb(${back})`;
      span.style.color = inkOn(back);
    }
    return span;
  });
}

/// The text, in which one token is chosen by pointer or keyboard, and `show` is told its place. One of them takes part
/// in the order of the tab key.
function chooser(spans, show, first) {
  const text = element('div', {class: 'tokens', role: 'group', 'aria-label': 'The text, token by token'}, ...spans);
  let chosen = first;
  const choose = place => {
    spans[chosen].classList.remove('chosen');
    spans[chosen].tabIndex = -1;
    chosen = place;
    spans[chosen].classList.add('chosen');
    spans[chosen].tabIndex = 0;
    show(place);
  };
  const chooseTarget = event => {
    const token = event.target.closest('.token');
    if (token) choose(Number(token.dataset.place));
  };
  text.addEventListener('pointerover', chooseTarget);
  text.addEventListener('focusin', chooseTarget);
  text.addEventListener('keydown', event => {
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10, Home: -Infinity, End: Infinity};
    if (steps[event.key] === undefined) return;
    event.preventDefault();
    spans[clamp(chosen + steps[event.key], spans.length)].focus();
  });
  choose(first);
  return text;
}

function showText(box) {
  if (!data.text) return void box.append(paragraph(noText));
  const {origin, tokens, next, n_tokens: n, n_left_out: left, n_scored: scored} = data.text;
  box.append(paragraph(
      `Each token of ${origin} is coloured by its surprise, −log2 p in bits: how unlikely the model thought it after ` +
      'all tokens before. Point at a token, or move with the arrow keys, to see what was expected in its place.'));
  const figures = [[String(n), 'tokens']];
  if (scored > 0) {
    figures.push(
        [short(data.text.bits), `bits in ${scored} predicted tokens`],
        [data.text.bits_per_byte === null ? 'none' : data.text.bits_per_byte.toFixed(4), 'bits per byte'],
        [short(data.text.perplexity), 'perplexity of a token']);
  }
  box.append(element(
      'div', {class: 'figures'},
      ...figures.map(([value, title]) => element('div', {}, element('b', {}, value), title))));
  if (left > 0) box.append(paragraph(`The text goes on for ${left} tokens, which were left out.`, 'note'));
  const stops = surprise(), detail = element('div', {class: 'detail', 'aria-live': 'polite'});
  const surpriseOf = place => tokens[place].length === 2 ? -1 : tokens[place][2] ?? Infinity;
  const most = tokens.reduce((best, _, place) => surpriseOf(place) > surpriseOf(best) ? place : best, 0);
  box.append(
      legend(stops, '0', `${mostBits} and more`, 'surprise in bits'),
      chooser(tokenSpans(tokens, stops), place => showDetail(detail, place), most), detail);
  if (next.length > 0) box.append(element('h3', {}, 'What it expects next'), candidatesTable(next));
}

// --- What its state holds ---------------------------------------------------------------------------------------

function aboutState({is_matrix: isMatrix, rows, cols}) {
  if (isMatrix) return `Each head remembers a matrix: rows are channels of the ${rows}, columns of the ${cols}.`;
  return 'For each channel RWKV-2 to 4 remember a mean of the values so far, in which each counts by its key and loses ' +
      'weight with its age.';
}

/// Curves of norms over the tokens read.
function normCurves(series, what, whose) {
  return [
    curves({
      series,
      x: data.norms.after,
      name: k => `${what} ${k}`,
      label: `Curves: norm of ${whose} over the tokens.`,
      colTitle: 'tokens read',
      rowTitle: 'norm, logarithmic',
    }),
    legend(curveScale(), '0', String(series.length - 1), what.toLowerCase()),
  ];
}

function showNorms(box, redraw) {
  const {after, layers} = data.norms;
  const norm = (heads, p) => Math.sqrt(heads.reduce((sum, head) => sum + head[p] ** 2, 0));
  const series = layers.map(heads => after.map((_, p) => norm(heads, p)));
  box.append(element('h3', {}, 'How it fills: the norm of each layer'));
  if (!series.flat().some(value => value > 0)) return void box.append(paragraph('It stays empty.'));
  box.append(...normCurves(series, 'Layer', 'the state of each layer'));
  const select = element('select', {id: 'layer'}, ...layers.map((_, i) => element('option', {value: i}, String(i))));
  select.value = String(chosenLayer);
  select.addEventListener('change', () => {
    chosenLayer = Number(select.value);
    redraw();
  });
  box.append(element('p', {}, element('label', {for: 'layer'
                     }, 'Look into layer '), select));
}

/// The picture of a head, [largest absolute value, its values as state_json() of inspect_page.cpp makes them]. `say` is
/// told what is pointed at.
function headFigure([most, code], head, norm, say) {
  const {n_rows: nRows, n_cols: nCols, n_together: together, is_matrix: isMatrix, rows, cols} = data.state;
  const bytes = atob(code), width = isMatrix ? nCols : Math.min(64, nCols);  // a vector is broken into rows
  const height = Math.ceil(nRows * nCols / width);
  const root = i => {  // of the value, with its sign, from -1 to 1
    const byte = bytes.charCodeAt(i);
    return (byte < 128 ? byte : byte - 256) / 127;
  };
  const canvas = element('canvas', {width, height});
  const shade = (row, col) => row * width + col < bytes.length ? (root(row * width + col) + 1) / 2 : null;
  paint(canvas, height, width, shade, signed());
  const name = isMatrix ? `head ${head}` : 'all channels, row by row';
  const describe = (row, col) => {
    const i = Math.min(row * width + col, bytes.length - 1), t = root(i);
    const cell = `${name}, ${rows} ${row * together}, ${cols} ${col * together}`;
    return `Layer ${chosenLayer}, ${isMatrix ? cell : `channel ${i * together}`}: about ${
        short(t * Math.abs(t) * most)}`;
  };
  const label = `Heat map of layer ${chosenLayer}, ${name}: values up to ${short(most)}, norm ${short(norm)}`;
  explore(canvas, label, cells(height, width, describe), say);
  const caption = element('figcaption', {}, `${name}: m = ${short(most)}, norm ${short(norm)}`);
  return element('figure', {class: 'head'}, canvas, caption);
}

function showHeads(box) {
  const {layers, n_together: together, is_matrix: isMatrix} = data.state;
  const heads = layers[chosenLayer], series = data.norms.layers[chosenLayer];
  if (heads.length === 0) return void box.append(paragraph(`Layer ${chosenLayer} has no time mixing (ffnPre).`));
  if (isMatrix && series.flat().some(value => value > 0)) {
    box.append(
        element('h3', {}, `The norm of each head of layer ${chosenLayer}`),
        ...normCurves(series, 'Head', `each head of layer ${chosenLayer}`));
  }
  const about = 'value, by its square root; m is the largest absolute value of the picture';
  box.append(
      element('h3', {}, `Layer ${chosenLayer} after the last token`), paragraph(aboutState(data.state)),
      legend(signed(), '−m', 'm', about));
  if (together > 1) {
    const size = isMatrix ? `${together} × ${together}` : together;
    box.append(paragraph(`Each cell is the value farthest from 0 of ${size} neighbours.`, 'note'));
  }
  const readout =
      element('div', {class: 'readout', 'aria-live': 'polite'}, 'Point at a picture, or use the arrow keys in it.');
  const say = text => readout.replaceChildren(text);
  const figures = heads.map((values, head) => headFigure(values, head, series[head][series[head].length - 1], say));
  box.append(element('div', {class: isMatrix ? 'heads' : 'heads vector'}, ...figures), readout);
}

function showState(box) {
  if (!data.text) return void box.append(paragraph(noText));
  if (!data.state) {
    box.append(paragraph(
        `RWKV-${data.generation} keeps every token of its context by itself, not a state of fixed size: there is ` +
        'nothing to show.'));
    return;
  }
  const inside = element('div');
  const redraw = () => {
    inside.replaceChildren();
    showHeads(inside);
  };
  showNorms(box, redraw);
  box.append(inside);
  redraw();
}

// --- How many hidden units are zero -----------------------------------------------------------------------------

function showZeros(box) {
  if (!data.text) return void box.append(paragraph(noText));
  if (data.zeros.every(share => share === null)) {
    box.append(paragraph(
        'Nothing was counted: the channel mixing of this model has no squared ReLU, or its weights were copied ' +
        '(--interleave).'));
    return;
  }
  box.append(paragraph(
      'Channel mixing sets what is negative to zero (squared ReLU). The bars are the share of hidden units that were ' +
      'zero, over all tokens of the text: weights that meet only zeros need not be read (--sparse).'));
  const head = (text, kind) => element('th', {scope: 'col', class: kind}, text);
  const heads = [head('layer', ''), head('zero', 'number'), head('share, 0 to 100 %', '')];
  const rows = data.zeros.map((share, i) => {
    const number = share === null ? 'none' : `${(100 * share).toFixed(1)} %`;
    return element(
        'tr', {class: 'layer'}, element('th', {scope: 'row'}, String(i)), element('td', {class: 'number'}, number),
        bar(share || 0));
  });
  box.append(element(
      'table', {class: 'bars'}, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...rows)));
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
