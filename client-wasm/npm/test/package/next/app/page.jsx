'use client'

import { useEffect, useState } from 'react'
import { useRetroRoom } from 'ruang-client/react'

export default function Page () {
  const [options, setOptions] = useState(null)
  useEffect(() => { setOptions(Object.fromEntries(new URLSearchParams(location.hash.slice(1)))) }, [])
  return options === null ? <p>loading</p> : <Board options={options} />
}

function Board ({ options }) {
  const { state, status, unsaved, edit } = useRetroRoom(options)
  return (
    <main data-status={status} data-unsaved={unsaved}>
      <button onClick={() => edit.addItem({ text: 'from Next' })}>Add</button>
      <ul>{Object.entries(state.items).map(([id, { text }]) => <li key={id}>{text}</li>)}</ul>
    </main>
  )
}
