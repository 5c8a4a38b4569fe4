// What a board of docs/BOARD.md shows, from whatever the document holds: values of another form are passed over.

const object = (value) => value?.toJSON?.() ?? value
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const line = (value) => typeof value === 'string' ? value : ''
const isId = (text) => text !== '' && !/\p{Cc}/u.test(text) && new TextEncoder().encode(text).length <= 128
const number = (value) => Number.isFinite(value) ? value : undefined

/** By the bytes of UTF-8, which is the order of code points. */
function byBytes (a, b) {
  const [left, right] = [a, b].map((text) => Array.from(text, (sign) => sign.codePointAt(0)))
  const at = left.findIndex((code, index) => code !== right[index])
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? -1)
}

/** Which of one person's votes count (target to count): above the limit, one at a time goes from where most are. */
export function counted (given, limit) {
  const left = Object.fromEntries(Object.entries(given).map(([target, count]) => [target, Math.min(count, limit)]))
  const targets = Object.keys(left).sort(byBytes).reverse()
  let above = Object.values(left).reduce((sum, count) => sum + count, 0) - limit
  for (; above > 0; above--) left[targets.reduce((most, target) => left[target] > left[most] ? target : most)]--
  return Object.fromEntries(Object.entries(left).filter(([, count]) => count > 0))
}

/** `user/target`, the user percent-encoded; nothing if it is no such key. */
function voteOf (key) {
  const slash = key.indexOf('/')
  const user = key.slice(0, slash)
  const isOne = slash > 0 && slash < key.length - 1 && !/%(?!25|2F)/.test(user)
  return isOne ? [user.replaceAll('%2F', '/').replaceAll('%25', '%'), key.slice(slash + 1)] : undefined
}

export function view (doc) {
  const entries = (root) => Object.entries(doc.getMap(root).toJSON())
  const objects = (root) => new Map(entries(root).filter(([id, value]) => isId(id) && isObject(value)))
  const meta = object(doc.getMap('meta'))
  const items = objects('items')
  const groups = new Map([...objects('groups')].map(([id, { title, order }]) => [id, { id, title: line(title), order: number(order) }]))
  const [positions, groupOf] = ['itemPositions', 'itemGroups'].map((root) => object(doc.getMap(root)))

  const cards = [...items].map(([id, { text, column, author, createdAt }]) => {
    const { x, y } = isObject(positions[id]) ? positions[id] : {}
    const position = Number.isFinite(x) && Number.isFinite(y) ? { x, y } : undefined
    const group = groups.has(groupOf[id]) ? groupOf[id] : undefined
    return { id, text: line(text), column, author: line(author), createdAt: number(createdAt) ?? 0, position, group }
  }).sort((a, b) => a.createdAt - b.createdAt || byBytes(a.id, b.id))

  const given = {}
  for (const [key, count] of entries('votes')) {
    const [user, target] = voteOf(key) ?? []
    const counts = user !== undefined && Number.isInteger(count) && count > 0 && (items.has(target) || groups.has(target))
    if (counts) (given[user] ??= {})[target] = count
  }
  const voteLimit = Number.isInteger(meta.voteLimit) && meta.voteLimit >= 0 ? Math.min(meta.voteLimit, 999) : 5
  const votes = Object.fromEntries(Object.entries(given).map(([user, targets]) => [user, counted(targets, voteLimit)]))

  const actions = [...objects('actionItems')].map(([id, { text, done, order }]) =>
    ({ id, text: line(text), done: done === true, order: number(order) ?? Infinity }))
    .sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : byBytes(a.id, b.id)))
  const columns = (Array.isArray(meta.columns) ? meta.columns : []).filter((column) => isObject(column) && column.id)
  return { title: line(meta.title), phase: line(meta.phase) || 'write', columns, voteLimit, cards, groups, votes, actions }
}
