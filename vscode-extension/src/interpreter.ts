// Finds the program that runs the language server. Starts nothing and asks nobody.
// Order: the setting, the extension's own environment, the interpreter that `hearth vscode` recorded, `hearth` on the PATH.
// Only absolute paths are ever used: a program of that name in the opened folder must not be started.

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export interface ServerProgram {
  command: string;
  args: string[];
  /** where it was found, for the log and for messages */
  origin: string;
}

/** What `hearth vscode` wrote: who installed the extension, and where a new environment can be installed from. */
export interface InstallRecord {
  interpreter?: string;
  /** a wheel, a checkout, or nothing */
  source?: string;
}

export class InterpreterError extends Error {}

export function findServer(setting: string, storage: string, record: InstallRecord): ServerProgram | undefined {
  const wanted = expandHome(setting.trim());
  if (wanted) {
    if (!path.isAbsolute(wanted)) {
      throw new InterpreterError(`codehearth.interpreter must be an absolute path, it is "${wanted}".`);
    }
    if (!isFile(wanted)) {
      throw new InterpreterError(`codehearth.interpreter names "${wanted}", and there is no such file.`);
    }
    return program(wanted, 'the setting codehearth.interpreter');
  }
  const own = environmentPython(ownEnvironment(storage));
  if (isFile(own)) {
    return program(own, "the extension's own environment");
  }
  if (record.interpreter && path.isAbsolute(record.interpreter) && isFile(record.interpreter)) {
    return program(record.interpreter, 'the environment that `hearth vscode` was run from');
  }
  const hearth = onPath('hearth');
  return hearth ? program(hearth, 'the PATH') : undefined;
}

/** The folder of the environment that the extension makes for itself. */
export function ownEnvironment(storage: string): string {
  return path.join(storage, 'venv');
}

export function environmentPython(environment: string): string {
  return process.platform === 'win32'
    ? path.join(environment, 'Scripts', 'python.exe')
    : path.join(environment, 'bin', 'python');
}

/** Reads the record of `hearth vscode`; a missing or broken one counts as empty. */
export function readInstallRecord(): InstallRecord {
  try {
    const value: unknown = JSON.parse(fs.readFileSync(path.join(stateFolder(), 'vscode.json'), 'utf8'));
    if (typeof value !== 'object' || value === null) {
      return {};
    }
    const text = (key: string): string | undefined => {
      const found = (value as Record<string, unknown>)[key];
      return typeof found === 'string' && path.isAbsolute(found) ? found : undefined;
    };
    return { interpreter: text('interpreter'), source: text('source') };
  } catch {
    return {};
  }
}

/** A Python to make an environment with: the recorded one, else the first one on the PATH. */
export function basePython(record: InstallRecord): string | undefined {
  if (record.interpreter && isFile(record.interpreter)) {
    return record.interpreter;
  }
  return onPath('python3') ?? onPath('python');
}

// The same folder as platformdirs.user_state_dir("codehearth", appauthor=False).
function stateFolder(): string {
  if (process.platform === 'win32') {
    return path.join(process.env.LOCALAPPDATA ?? path.join(os.homedir(), 'AppData', 'Local'), 'codehearth');
  }
  if (process.platform === 'darwin') {
    return path.join(os.homedir(), 'Library', 'Application Support', 'codehearth');
  }
  return path.join(process.env.XDG_STATE_HOME?.trim() || path.join(os.homedir(), '.local', 'state'), 'codehearth');
}

// -P: Python must not put the current folder on its import path.
function program(file: string, origin: string): ServerProgram {
  const isPython = /^(python|pypy)[\d.]*(\.exe)?$/i.test(path.basename(file));
  return { command: file, args: isPython ? ['-P', '-m', 'lsp_server'] : ['lsp'], origin };
}

function onPath(name: string): string | undefined {
  const endings = process.platform === 'win32' ? ['.exe'] : [''];
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const ending of endings) {
      const file = path.join(folder, name + ending);
      if (path.isAbsolute(folder) && isFile(file)) {
        return file;
      }
    }
  }
  return undefined;
}

function expandHome(file: string): string {
  return file.startsWith('~/') ? path.join(os.homedir(), file.slice(2)) : file;
}

function isFile(file: string): boolean {
  try {
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
