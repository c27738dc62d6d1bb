import { mount } from '../foundation/mount.js';
import './admin.css';
import { Console } from './console.js';
import { resumeSession } from './session.js';

resumeSession();
void mount(Console);
