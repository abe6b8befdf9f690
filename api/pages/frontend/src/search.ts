// Searching, for anyone.

import { wireSuggest } from './lib/suggest';

wireSuggest();
