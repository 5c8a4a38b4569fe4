// The types of the board for TypeScript, read from the Rust that serde writes them by: src/generated. A test holds what
// is committed to what this makes. It knows the forms that src/board has, and throws at any other.
//
//     node scripts/types.mjs        writes src/generated

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(fileURLToPath(import.meta.url), '../..')
const board = resolve(root, '../../src/board')
export const folder = join(root, 'src/generated')

/** Which type is in which file. */
const SOURCES = {
  'schema.rs': ['Point', 'Column', 'Phase'],
  'view.rs': ['RetroRoomState', 'Meta', 'Item', 'Group', 'ActionItem', 'Participant'],
  'edit.rs': ['Edit'],
  'live.rs': ['Change']
}
const PLAIN = { String: 'string', bool: 'boolean', f64: 'number', u32: 'number', u64: 'number' }
const known = new Set(Object.values(SOURCES).flat())

/** The files of src/generated: name to text. */
export async function generated () {
  const files = {}
  for (const [file, names] of Object.entries(SOURCES)) {
    const rust = await readFile(join(board, file), 'utf8')
    for (const name of names) files[`${name}.ts`] = write(name, rust)
  }
  return files
}

function write (name, rust) {
  const found = rust.match(new RegExp(`((?:^///.*\\n)*)((?:^#\\[.*\\]\\n)*)^pub (struct|enum) ${name} \\{\\n([\\s\\S]*?)^\\}`, 'm'))
  if (found === null) throw new Error(`${name} is not where it was`)
  const [, docs, attributes, kind, body] = found
  const used = new Set()
  const type = kind === 'struct' ? struct(body, attributes, used, '  ') : union(body, attributes, used)
  const imports = [...used].filter((other) => other !== name).sort().map((other) => `import type { ${other} } from './${other}.js'\n`)
  return `// Written by scripts/types.mjs from src/board.\n${imports.join('')}\n${doc(docs, '')}export type ${name} =${kind === 'struct' ? ' ' : ''}${type}\n`
}

/** The fields of a struct, or of a variant, as an object type. */
function struct (body, attributes, used, indent, first = '') {
  const camel = /rename_all(_fields)? = "camelCase"/.test(attributes)
  const fields = [...body.matchAll(/((?:^ *\/\/\/.*\n)*)((?:^ *#\[.*\]\n)*)^ *(?:pub )?(\w+): (.+),$/gm)]
  const lines = fields.map(([, docs, serde, rust, type]) => {
    const name = camel ? rust.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()) : rust
    const isMissing = /skip_serializing_if|serde\(default/.test(serde)
    const inner = isMissing ? type.replace(/^Option<(.*)>$/, '$1') : type
    return `${doc(docs, indent)}${indent}${name}${isMissing ? '?' : ''}: ${typescript(inner, used)}\n`
  })
  return `{\n${first}${lines.join('')}${indent.slice(2)}}`
}

/** An enum: of names only, or tagged with `type`. */
function union (body, attributes, used) {
  const lower = /rename_all = "lowercase"/.test(attributes)
  const name = (rust) => lower ? rust.toLowerCase() : rust[0].toLowerCase() + rust.slice(1)
  const variants = [...body.matchAll(/((?:^ {4}\/\/\/.*\n)*)(?:^ {4}#\[.*\]\n)*^ {4}(\w+)(?:,$| \{\n([\s\S]*?)^ {4}\},$)/gm)]
  return variants.map(([, docs, rust, fields]) => fields === undefined
    ? `\n${doc(docs, '  ')}  | '${name(rust)}'`
    : `\n${doc(docs, '  ')}  | ${struct(fields, attributes, used, '    ', `    type: '${name(rust)}'\n`)}`).join('')
}

function typescript (rust, used) {
  const generic = rust.match(/^(\w+)<(.*)>$/)
  if (generic === null) {
    if (Object.hasOwn(PLAIN, rust)) return PLAIN[rust]
    if (!known.has(rust)) throw new Error(`${rust}: no type of TypeScript is known for it`)
    used.add(rust)
    return rust
  }
  const [, of, inner] = generic
  const value = () => typescript(inner.replace(/^String, /, ''), used)
  if (of === 'Option') return `${typescript(inner, used)} | null`
  if (of === 'Vec') return `${typescript(inner, used)}[]`
  if (of === 'Table' || (of === 'BTreeMap' && inner.startsWith('String, '))) return `{ [id: string]: ${value()} | undefined }`
  if (of === 'Changes') return `{ [id: string]: ${value()} | null | undefined }`
  throw new Error(`${rust}: no type of TypeScript is known for it`)
}

/** A doc comment of Rust as one of TypeScript, without links that lead nowhere there. */
function doc (rust, indent) {
  const lines = rust.split('\n').map((line) => line.trim().replace(/^\/\/\/ ?/, '').replace(/\[(`[^`]+`)\](\([^)]*\))?/g, '$1')).filter(Boolean)
  if (lines.length === 0) return ''
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(folder, { recursive: true })
  for (const [name, text] of Object.entries(await generated())) await writeFile(join(folder, name), text)
}
