// node_says.js -- the answers of node and of npm's own semver to the lines that semver_says reads.
// node node_says.js FOLDER_OF_SEMVER <lines
'use strict'
const semver = require(process.argv[2])
const beside = name => {
  try {
    return require(require('path').join(process.argv[2], '..', name))
  } catch {
    return null
  }
}
const npa = beside('npm-package-arg')
const pick = beside('npm-pick-manifest')
const unhex = text => Buffer.from(text || '', 'hex').toString('utf8')
const yes = value => (value ? 'yes' : 'no')

const hex = text => '"' + Buffer.from(text, 'utf8').toString('hex') + '"'
const json = value => {
  if (value === null || typeof value === 'boolean') {
    return String(value)
  }
  if (typeof value === 'number') {
    return 'number ' + (Object.is(value, -0) ? '-0' : value)
  }
  if (typeof value === 'string') {
    return hex(value)
  }
  if (Array.isArray(value)) {
    return '[' + value.map(json).join(',') + ']'
  }
  return '{' + Object.keys(value).map(key => hex(key) + ':' + json(value[key])).join(',') + '}'
}

const where = '/where'
const spec = (name, text) => {
  if (!npa) {
    return 'none'
  }
  const whole = npa.resolve(name, text, where)
  const asked = whole.subSpec || whole
  const type = whole.type === 'version' ? 'range' : whole.type
  const wanted = ['git', 'remote'].includes(type) ? text : asked.fetchSpec
  return `${type} ${asked.type === 'version' ? 'version' : '-'} ${hex(asked.name)} ${hex(wanted)}`
}

const picked = (document, text) => {
  if (!pick) {
    return 'none'
  }
  const [wanted, before, node] = text.split(';')
  const options = { nodeVersion: node ? node + '.0.0' : null }
  if (before) {
    options.before = new Date(+before)
  }
  return pick(JSON.parse(document), wanted, options).version
}

const answer = line => {
  const [op, flags, first, second] = line.split('\t')
  const options = { loose: (flags & 1) !== 0, includePrerelease: (flags & 2) !== 0 }
  const a = unhex(first)
  const b = unhex(second)
  try {
    switch (op) {
      case 'v': return semver.valid(a, options) || '-'
      case 'c': return String(semver.compare(a, b, options))
      case 'h':
        new semver.SemVer(b, options)
        return yes(new semver.Range(a, options).test(b))
      case 'g': return yes(semver.gtr(b, a, options))
      case 'l': return yes(semver.ltr(b, a, options))
      case 'r': return new semver.Range(a, options).range || '*'
      case 'm': return yes(semver.intersects(a, b, options))
      case 'w': return yes(semver.subset(a, b, options))
      case 's': return spec(a, b)
      case 'p': return picked(a, b)
      case 'j': return json(JSON.parse(a.replace(/^\uFEFF/, '')))
    }
  } catch {
    return '-'
  }
  return '?'
}

const lines = require('fs').readFileSync(0, 'utf8').split('\n')
lines.pop()
process.stdout.write(lines.map(line => answer(line) + '\n').join(''))
