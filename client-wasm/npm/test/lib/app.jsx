// A board in React that counts how often each of its parts is drawn. For react.test.mjs.

import { memo, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { RuangClient } from 'ruang-client'
import {
  RoomStateDebug, RuangProvider, useConnection, useDrag, useEdit, useEntry, usePart, usePresence, useRetroRoom
} from 'ruang-client/react'

const drawn = window.drawn = {}
const count = (name) => { drawn[name] = (drawn[name] ?? 0) + 1 }

const Card = memo(({ id }) => {
  count(`card ${id}`)
  const item = useEntry('items', id)
  const place = useEntry('itemPositions', id)
  const drag = useDrag(id)
  const { x, y } = drag ?? place ?? { x: 0, y: 0 }
  return <li data-card={id} data-x={x} data-y={y}>{item?.text}{drag && ` (${drag.by.user})`}</li>
})

function Board () {
  count('board')
  const ids = usePart('itemIds')
  return <ol>{ids.map((id) => <Card key={id} id={id} />)}</ol>
}

function Title () {
  count('title')
  return <h1>{usePart('meta').title}</h1>
}

function Status () {
  count('status')
  const { status, unsaved } = useConnection()
  return <p data-status={status}>{unsaved}</p>
}

function People () {
  count('people')
  const { all } = usePresence()
  return <p data-people={all.length}>{all.map(({ name, user }) => name ?? user).join(', ')}</p>
}

function Adder () {
  count('adder')
  const edit = useEdit()
  return <button onClick={() => edit.addItem({ text: 'by a click' })}>Add</button>
}

/** The whole room in one hook, with a client of its own. */
function Whole ({ options }) {
  count('whole')
  const { state, status, edit, room } = useRetroRoom(options)
  window.whole = edit
  return <section data-whole={status} data-room={room}>{Object.keys(state.items).length} cards, {state.meta.title}</section>
}

window.start = async (options, { strict = false } = {}) => {
  const client = window.client = new RuangClient(options)
  await client.ready
  const app = (
    <RuangProvider client={client}>
      <Title /><Board /><Status /><People /><Adder /><RoomStateDebug />
    </RuangProvider>
  )
  const root = window.appRoot = createRoot(document.getElementById('root'))
  root.render(strict ? <StrictMode>{app}</StrictMode> : app)
}

window.startWhole = (options) => {
  const root = window.appRoot ??= createRoot(document.getElementById('root'))
  root.render(<StrictMode><Whole options={options} /></StrictMode>)
}

document.title = 'ready'
