// Makes the extension's own Python environment and installs Codehearth into it.
// The source is what `hearth vscode` recorded (a wheel or a checkout): the extension itself downloads nothing it was not asked to.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import * as vscode from 'vscode';
import { basePython, environmentPython, InstallRecord, ownEnvironment } from './interpreter';

/** True if it was installed, false if it was cancelled; throws with the failing step's name. */
export async function installServer(
  storage: string,
  record: InstallRecord,
  log: vscode.OutputChannel,
): Promise<boolean> {
  const python = basePython(record);
  if (!python) {
    throw new Error('no Python was found on the PATH; Codehearth needs Python 3.11 or newer.');
  }
  if (!record.source) {
    throw new Error('it is not known where to install from; run `hearth vscode` once from an installed Codehearth.');
  }
  const source = record.source;
  const environment = ownEnvironment(storage);
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: 'Codehearth', cancellable: true },
    async (progress, token) => {
      await fs.mkdir(storage, { recursive: true });
      try {
        progress.report({ message: 'making the Python environment …' });
        await run(python, ['-m', 'venv', '--clear', environment], storage, log, token);
        progress.report({ message: 'installing the engine (a few minutes if it has to be compiled) …' });
        const pip = ['-P', '-m', 'pip', 'install', '--disable-pip-version-check', source];
        await run(environmentPython(environment), pip, storage, log, token);
        return true;
      } catch (error) {
        await fs.rm(environment, { recursive: true, force: true }); // a half-made environment must not be found later
        if (token.isCancellationRequested) {
          return false;
        }
        throw error;
      }
    },
  );
}

function run(
  command: string,
  args: string[],
  cwd: string,
  log: vscode.OutputChannel,
  token: vscode.CancellationToken,
): Promise<void> {
  log.appendLine(`> ${[command, ...args].join(' ')}`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const cancelled = token.onCancellationRequested(() => child.kill());
    child.stdout.on('data', (data: Buffer) => log.append(data.toString()));
    child.stderr.on('data', (data: Buffer) => log.append(data.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      cancelled.dispose();
      if (code === 0) {
        resolve();
      } else {
        reject(new Error(`"${args[0] === '-P' ? 'pip install' : 'python -m venv'}" failed (exit code ${code}); see the log.`));
      }
    });
  });
}
