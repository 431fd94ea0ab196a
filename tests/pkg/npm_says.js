// npm_says.js NPM_MODULES FOLDER -- the trees of ideal_says.c's cases, as npm's arborist builds them.
//
// Cases on standard input, one line each "run"; packages come from memory.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const modules = process.argv[2]
const folder = process.argv[3]
const npm = name => require(path.join(modules, name))
const npa = npm('npm-package-arg')
const pick = npm('npm-pick-manifest')
const pacote = npm('pacote')

let registry = new Map()

pacote.manifest = async (asked, opts) => {
  let spec = typeof asked === 'string' ? npa(asked) : asked
  spec = spec.type === 'alias' ? spec.subSpec : spec
  const packument = registry.get(spec.name)
  if (!packument) {
    throw Object.assign(new Error(`no ${spec.name}`), { code: 'E404' })
  }
  const m = pick(packument, spec.fetchSpec, { ...opts })
  return { ...m, _id: `${m.name}@${m.version}`, _resolved: m.dist.tarball,
    _integrity: m.dist.integrity, _from: `${spec.name}@` }
}

// npm does not come to an end on some sets of peers: it is stopped.
const WHERE_MAX = 2000 // bytes of the path below which peers of peers of peers lie
let endless = false
const resolve = npa.resolve
npa.resolve = (...args) => {
  endless = endless || (args[2] && args[2].length > WHERE_MAX)
  if (endless) {
    throw Object.assign(new Error('endless'), { code: 'ENDLESS' })
  }
  return resolve(...args)
}
const Arborist = npm('@npmcli/arborist')

const kinds = { opt: 'optionalDependencies', peer: 'peerDependencies', popt: 'peerDependencies',
  dev: 'devDependencies' }

const manifest = (id, deps) => {
  const at = id.indexOf('@', 1)
  const m = { name: id.slice(0, at), version: id.slice(at + 1) }
  for (const word of deps.split(' ').filter(w => w)) {
    const colon = word.indexOf(':')
    const kind = colon > 0 && kinds[word.slice(0, colon)] ? word.slice(0, colon) : ''
    const rest = kind ? word.slice(colon + 1) : word
    const name = rest.slice(0, rest.indexOf('@', 1))
    const spec = rest.slice(name.length + 1).replace(/_/g, ' ')
    const key = kinds[kind] || 'dependencies'
    m[key] = { ...m[key], [name]: spec }
    if (kind === 'popt') {
      m.peerDependenciesMeta = { ...m.peerDependenciesMeta, [name]: { optional: true } }
    }
  }
  for (const key of ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']) {
    if (m[key]) {
      m[key] = Object.fromEntries(Object.entries(m[key]).sort((a, b) => a[0] < b[0] ? -1 : 1))
    }
  }
  return m
}

const add = (id, deps) => {
  const m = manifest(id, deps)
  m.dist = { tarball: `https://registry.test/${id}.tgz`, integrity: 'sha512-' +
    Buffer.from(id).toString('base64') }
  const p = registry.get(m.name) || { name: m.name, 'dist-tags': {}, versions: {} }
  p.versions[m.version] = m
  p['dist-tags'].latest = m.version
  registry.set(m.name, p)
}

const override = (all, text) => {
  const at = text.lastIndexOf('=')
  const keys = text.slice(0, at).split('>')
  let here = all
  for (const key of keys) {
    here[key] = here[key] || {}
    here = here[key]
  }
  here['.'] = text.slice(at + 1)
}

const letters = n => (n.dev ? 'd' : '') + (n.optional ? 'o' : '') + (n.devOptional ? 'b' : '') +
  (n.peer ? 'p' : '') + (n.extraneous ? 'x' : '')

const text = tree => [...tree.inventory.values()].filter(n => n.location !== '' &&
    !(n.inert && !n.package.version))
  .sort((a, b) => a.location < b.location ? -1 : 1)
  .map(n => n.location.replace(/node_modules\//g, '') +
    (n.isLink ? '->' + n.target.location : '@' + n.version) + ':' + letters(n)).join(' ')

// Now and then npm's own tree lacks what something in it needs.
const broken = tree => [...tree.inventory.values()].some(n => !n.inert && !n.extraneous &&
  [...n.edgesOut.values()].some(e => e.missing && !e.peerConflicted))

const build = async (c, deps) => {
  const root = { ...manifest('root@1.0.0', deps), overrides: c.overrides }
  if (c.workspaces.length) {
    root.workspaces = c.workspaces.map(w => w.path)
  }
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(root))
  const arb = new Arborist({ path: folder, save: true, workspacesEnabled: true,
    legacyPeerDeps: c.opts.includes('legacy'), strictPeerDeps: c.opts.includes('strict'),
    preferDedupe: c.opts.includes('dedupe') })
  return arb.buildIdealTree({ preferDedupe: c.opts.includes('dedupe') })
}

const run = async c => {
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  for (const w of c.workspaces) {
    fs.mkdirSync(path.join(folder, w.path), { recursive: true })
    fs.writeFileSync(path.join(folder, w.path, 'package.json'), JSON.stringify(w.manifest))
  }
  endless = false
  try {
    let tree = await build(c, c.root)
    if (c.again !== null) {
      await tree.meta.save({ path: folder })
      tree = await build(c, c.again)
    }
    return broken(tree) ? 'broken' : text(tree)
  } catch (err) {
    if (endless || !err.code) { // or it fell over
      return 'endless'
    }
    return err.code === 'ERESOLVE' ? 'ERESOLVE' : `error ${err.code}`
  }
}

const main = async () => {
  let c
  for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
    const [word, ...rest] = line.split(' ')
    if (word === 'root') {
      c = { root: rest.join(' '), workspaces: [], opts: [], again: null, overrides: {} }
      registry = new Map()
    } else if (word === 'pkg') {
      add(rest[0], rest.slice(1).join(' '))
    } else if (word === 'ws') {
      c.workspaces.push({ path: rest[0], manifest: manifest(rest[1], rest.slice(2).join(' ')) })
    } else if (word === 'over') {
      override(c.overrides, rest.join(' '))
    } else if (word === 'opts') {
      c.opts.push(rest[0])
    } else if (word === 'again') {
      c.again = rest.join(' ')
    } else if (word === 'run') {
      process.stdout.write((await run(c)) + '\n')
    }
  }
}
main()
