// What is around the editor: the connection, the people.
const COLORS = ['#1565c0', '#2e7d32', '#ad4e00', '#6a1b9a', '#c62828', '#00697a']

/** The same for everyone who looks at this person. */
export const colorOf = (user) => COLORS[Array.from(user).reduce((sum, sign) => sum + sign.codePointAt(0), 0) % COLORS.length]

export function furnish (provider) {
  const status = document.querySelector('#status')
  provider.on('status', (now) => { status.textContent = status.className = now.status })
  provider.on('closed', ({ reason }) => { status.textContent = `closed: ${reason}` })
  const { awareness } = provider
  awareness.on('change', () => {
    const names = [...awareness.getStates().values()].map((state) => state.user?.name).filter(Boolean)
    document.querySelector('#people').textContent = names.sort().join(', ')
  })
  addEventListener('hashchange', () => location.reload())
  // Without these it takes the provider 30 s to notice that the network is gone. Who comes back says it again, so that it is news.
  addEventListener('offline', () => provider.disconnect())
  addEventListener('online', () => { provider.connect(); awareness.setLocalState(awareness.getLocalState()) })
  // It takes nobody back who was removed and has nothing new to say: let it forget when it heard of them.
  awareness.on('update', ({ removed }) => removed.forEach((id) => id !== awareness.clientID && awareness.meta.delete(id)))
}
