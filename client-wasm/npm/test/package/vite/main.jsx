import { createRoot } from 'react-dom/client'
import { useRetroRoom } from 'ruang-client/react'

const { url, room } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))

function Board () {
  const { state, status, unsaved, edit } = useRetroRoom({ url, room })
  return (
    <main data-status={status} data-unsaved={unsaved}>
      <button onClick={() => edit.addItem({ text: 'from Vite' })}>Add</button>
      <ul>{Object.entries(state.items).map(([id, { text }]) => <li key={id}>{text}</li>)}</ul>
    </main>
  )
}

createRoot(document.getElementById('root')).render(<Board />)
