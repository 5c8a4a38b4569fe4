// The page of the board: connects, draws what view.js reads, and calls the edits of board.js, groups.js and actions.js.
import { readAuthMessage } from 'y-protocols/auth'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { acting } from './actions.js'
import { edits, history } from './board.js'
import { grouping } from './groups.js'
import { templates } from './templates.js'
import { view } from './view.js'

// How the page is opened: #room=retro-41&user=Ana&server=wss://example.com/ws&token=…
const { server = 'ws://127.0.0.1:8080/ws', room = 'board', user = 'Guest', token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
const doc = new Y.Doc()
const provider = new WebsocketProvider(server, room, doc, { protocols: token ? [`bearer.${token}`] : [] })
const { awareness } = provider
const edit = { ...edits(doc, user), ...grouping(doc), ...acting(doc) }
const undo = history(doc)
const COLORS = ['#1565c0', '#2e7d32', '#ad4e00', '#6a1b9a', '#c62828', '#00697a']
awareness.setLocalStateField('user', { name: user, color: COLORS[Array.from(user).reduce((sum, sign) => sum + sign.codePointAt(0), 0) % COLORS.length] })

const $ = (id) => document.getElementById(id)
function element (tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}
/** Others' values one by one: a style that is put together could say more than a color. */
function styled (target, style) {
  for (const [name, value] of Object.entries(style)) target.style.setProperty(name, value ?? '')
  return target
}

// Connection and people.
provider.on('status', ({ status }) => { $('status').textContent = $('status').className = status })
provider.on('closed', ({ reason }) => { $('status').textContent = `closed: ${reason}` })
let news = null
/** Says something of oneself, at most twenty times a second: that is as smooth as a hundred, and costs everyone less. */
function tell (fields) {
  if (news === null) setTimeout(() => { awareness.setLocalState({ ...awareness.getLocalState(), ...news }); news = null }, 50)
  news = { ...news, ...fields }
}
addEventListener('hashchange', () => location.reload())
// What the server did not take, and why; the provider would only write it to the console. The board itself comes back as it was.
let silent
provider.messageHandlers[2] = (_, decoder) => readAuthMessage(decoder, doc, (_, reason) => {
  $('refused').textContent = reason
  clearTimeout(silent)
  silent = setTimeout(() => { $('refused').textContent = '' }, 10_000)
})
// Without these it takes the provider 30 s to notice that the network is gone. Who comes back says it again, so that it is news.
addEventListener('offline', () => provider.disconnect())
addEventListener('online', () => { provider.connect(); provider.awareness.setLocalState(provider.awareness.getLocalState()) })
// It takes nobody back who was removed and has nothing new to say: let it forget when it heard of them.
provider.awareness.on('update', ({ removed }) => removed.forEach((id) => id !== provider.awareness.clientID && provider.awareness.meta.delete(id)))
$('title').textContent = room

// Drawing: at most once a frame, and only what has changed, so that nothing jumps under a pointer or a caret.
const [WIDTH, CARD, TOP] = [840, 190, 700] // pixels, the same for everyone: positions are from the middle of the board
const piles = new Map() // card or group id → its element
const drawn = new Map() // element → what it was drawn from
let asked = false
const soon = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw() }) } }
function redraw (target, from, make) {
  const key = JSON.stringify(from)
  if (drawn.get(target) === key) return
  drawn.set(target, key)
  target.replaceChildren(...make())
}

function draw () {
  const board = view(doc)
  const others = [...awareness.getStates()].filter(([id]) => id !== doc.clientID).map(([id, state]) => ({ id, ...state }))
  const mine = board.votes[user] ?? {}
  const left = board.voteLimit - Object.values(mine).reduce((sum, count) => sum + count, 0)
  $('title').textContent = board.title || room
  $('left').textContent = `${left} of ${board.voteLimit} votes left`
  $('begin').hidden = !provider.synced || board.columns.length > 0
  $('undo').disabled = !undo.canUndo()
  $('redo').disabled = !undo.canRedo()
  redraw($('people'), [...awareness.getStates().values()].map((state) => state.user), () => [...awareness.getStates().values()]
    .filter((state) => state.user).map(({ user: { name, color } }) => styled(element('span', { textContent: name, dir: 'auto' }), { background: color })))
  redraw($('columns'), board.columns, () => board.columns.map(drawColumn))
  redraw($('actions'), board.actions, () => board.actions.map(drawAction))
  drawPiles(board, mine, left, others)
  redraw(pointers, others.map(({ user, pointer }) => [user, pointer]), () => others.filter(({ pointer, drag }) => pointer && !drag)
    .map(({ user, pointer }) => styled(element('span', { className: 'pointer', textContent: user?.name }), { background: user?.color, translate: at(pointer) })))
}

const pointers = element('div')
$('board').append(pointers)

function drawColumn ({ id, title, color }) {
  const input = element('input', { placeholder: 'A card', ariaLabel: `New card in ${title}`, dir: 'auto', autocomplete: 'off' })
  const form = element('form', {}, input, element('button', { textContent: 'Add' }))
  form.onsubmit = (submitted) => {
    submitted.preventDefault()
    if (input.value.trim() !== '') edit.addCard(input.value.trim(), id)
    input.value = ''
  }
  return styled(element('section', { className: 'column' }, element('h2', { textContent: title, dir: 'auto' }), form), { '--color': color })
}

function drawAction ({ id, text, done }) {
  const box = element('input', { type: 'checkbox', checked: done, ariaLabel: text, onchange: () => edit.setDone(id, box.checked) })
  return element('li', { className: done ? 'done' : '' }, box, element('span', { textContent: text, dir: 'auto' }),
    element('button', { type: 'button', textContent: '×', ariaLabel: `Delete ${text}`, onclick: () => edit.deleteAction(id) }))
}

/** Cards of one group lie together, where the first of them lies. */
function drawPiles (board, mine, left, others) {
  const here = new Map()
  const inColumn = new Map()
  for (const card of board.cards) {
    const id = card.group ?? card.id
    if (!here.has(id)) {
      const column = Math.max(0, board.columns.findIndex(({ id }) => id === card.column))
      const row = inColumn.get(column) ?? 0
      inColumn.set(column, row + 1)
      const wide = WIDTH / Math.max(1, board.columns.length)
      here.set(id, { cards: [], at: card.position ?? { x: column * wide + 12 - WIDTH / 2, y: row * 110 - TOP } })
    }
    here.get(id).cards.push(card)
  }
  for (const [id, pile] of piles) if (!here.has(id)) { pile.remove(); piles.delete(id); drawn.delete(pile) }
  for (const [id, { cards, at }] of here) {
    const pile = piles.get(id) ?? element('div', { className: 'pile' })
    if (!piles.has(id)) { piles.set(id, pile); $('cards').append(pile); pile.onpointerdown = (pressed) => drag(pressed, pile) }
    pile.dataset.card = cards[0].id
    const group = board.groups.get(id)
    pile.classList.toggle('group', group !== undefined)
    const holder = others.find(({ drag }) => drag?.id === cards[0].id)
    if (pile.dataset.held !== 'me') {
      pile.classList.toggle('held', holder !== undefined)
      styled(pile, { '--holder': holder?.user?.color })
      place(pile, holder?.drag ?? at)
    }
    if (pile.contains(document.activeElement) && document.activeElement.matches('input, [contenteditable]')) continue // somebody types here
    redraw(pile, [group, cards, board.columns, mine, left > 0, board.votes], () => [
      ...(group ? [drawTitle(group)] : []), ...cards.map((card) => drawCard(card, board, mine, left))])
  }
}

const at = ({ x, y }) => `${x}px ${y + TOP}px`
const place = (pile, where) => { pile.at = where; styled(pile, { translate: at(where) }) }

const drawTitle = ({ id, title }) => element('input', {
  value: title, placeholder: 'Name this group', ariaLabel: 'Name of the group', dir: 'auto', onchange: (changed) => edit.setGroupTitle(id, changed.target.value.trim()), onblur: soon
})

function drawCard ({ id, text, column, author, group }, board, mine, left) {
  const count = Object.values(board.votes).reduce((sum, targets) => sum + (targets[id] ?? 0), 0)
  const own = mine[id] ?? 0
  const button = (textContent, ariaLabel, onclick, more) => element('button', { type: 'button', textContent, ariaLabel, title: ariaLabel, onclick, ...more })
  const words = element('p', { textContent: text, dir: 'auto', title: 'Double click to change' })
  words.ondblclick = () => { words.contentEditable = 'plaintext-only'; words.focus() }
  words.onblur = () => { words.removeAttribute('contenteditable'); if (words.textContent !== text) edit.setText(id, words.textContent); soon() }
  words.onkeydown = (pressed) => { if (pressed.key === 'Enter' && !pressed.shiftKey) words.blur() }
  const color = board.columns.find((each) => each.id === column)?.color
  return styled(element('article', { className: 'card' }, words,
    button('×', 'Delete', () => edit.deleteCard(id), { className: 'delete' }),
    element('footer', {}, element('span', { className: 'author', textContent: author, dir: 'auto' }),
      ...(group ? [button('↗', 'Out of the group', () => edit.ungroup(id))] : []),
      button('−', 'Take a vote back', () => edit.vote(id, own - 1), { disabled: own === 0 }),
      element('span', { className: 'votes', textContent: count, title: `${own} of them yours` }),
      button('+', 'Vote', () => edit.vote(id, own + 1), { disabled: left <= 0 }))), { '--color': color })
}

/** While a card is dragged it moves in presence; what is written is where it was dropped. */
function drag (pressed, pile) {
  if (pressed.button !== 0 || pressed.target.closest('button, input, [contenteditable]')) return
  const id = pile.dataset.card
  const from = pile.at
  let moved = false
  const within = (value, low, high) => Math.round(Math.max(low, Math.min(high, value)))
  const below = (pointer) => ({
    x: within(from.x + pointer.clientX - pressed.clientX, -WIDTH / 2, WIDTH / 2 - CARD),
    y: within(from.y + pointer.clientY - pressed.clientY, -TOP, TOP - 200)
  })
  const stop = new AbortController()
  const on = (name, act) => addEventListener(name, act, { signal: stop.signal })
  const end = () => {
    stop.abort()
    delete pile.dataset.held
    pile.classList.remove('held')
    tell({ drag: null })
    soon()
  }
  on('pointermove', (pointer) => {
    moved ||= Math.hypot(pointer.clientX - pressed.clientX, pointer.clientY - pressed.clientY) > 4
    if (!moved) return
    pile.dataset.held = 'me'
    pile.classList.add('held')
    place(pile, below(pointer))
    tell({ drag: { id, ...below(pointer) } })
  })
  on('pointerup', (pointer) => {
    if (moved) {
      const under = document.elementsFromPoint(pointer.clientX, pointer.clientY).map((each) => each.closest('.pile')).find((other) => other && other !== pile)
      const columns = view(doc).columns
      const column = columns[Math.floor((below(pointer).x + CARD / 2 + WIDTH / 2) / (WIDTH / columns.length))]
      if (under && !pile.classList.contains('group')) edit.groupWith(id, under.dataset.card)
      else edit.moveCard(id, below(pointer), column?.id)
    }
    end()
  })
  on('pointercancel', end)
}

$('board').onpointermove = ({ clientX, clientY }) => {
  const { left, top, width } = $('board').getBoundingClientRect()
  const base = $('columns').offsetHeight + 8
  tell({ pointer: { x: Math.round(clientX - left - width / 2), y: Math.round(clientY - top - base - TOP) } })
}
$('board').onpointerleave = () => tell({ pointer: null })
$('undo').onclick = () => undo.undo()
$('redo').onclick = () => undo.redo()
$('add-action').onsubmit = (submitted) => {
  submitted.preventDefault()
  const { text } = submitted.target.elements
  if (text.value.trim() !== '') edit.addAction(text.value.trim())
  text.value = ''
}
for (const [name, update] of Object.entries(templates)) {
  $('begin').append(element('button', { type: 'button', textContent: name, onclick: () => edit.begin(update) }))
}
doc.on('update', soon)
awareness.on('change', soon)
provider.on('sync', soon)
for (const change of ['stack-item-added', 'stack-item-popped']) undo.on(change, soon)
draw()
