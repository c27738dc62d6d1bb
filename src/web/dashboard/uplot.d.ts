// The library's own module is served beside this page's.
import uPlot from 'uplot';

export default uPlot;
