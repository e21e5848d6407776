// Every word on screen, Chinese first. One line holds both languages, so neither can lack a key.
// The Chinese terms are the project's vocabulary; a new one is added there before it is used here.
import { ALARM_WORDS } from './alarmwords.mjs';
import { QUEUE_WORDS } from './queuewords.mjs';
import { RULE_WORDS } from './rulewords.mjs';

const WORDS = {
  ...QUEUE_WORDS,
  ...ALARM_WORDS,
  ...RULE_WORDS,
  'app.name': ['非道路移动机械监管', 'Non-road machinery supervision'],
  'app.demo': ['演示数据 · 边界为虚构', '演示数据 · 边界为虚构 · Demo'],
  'app.other_language': ['English', '中文'],
  'app.other_language_title': ['Switch to English', '切换到中文'],
  'app.loading': ['正在载入', 'Loading'],
  'app.retry': ['重试', 'Try again'],
  'app.close': ['关闭', 'Close'],
  'app.back': ['返回', 'Back'],
  'app.sign_out': ['退出', 'Sign out'],
  'app.none': ['—', '—'],
  'app.whole_city': ['全市', 'Whole city'],
  'app.skip': ['跳到报警列表', 'Skip to the alarms'],

  'link.live': ['实时连接', 'Live'],
  'link.connecting': ['正在连接', 'Connecting'],
  'link.lost': ['已断开，正在重连', 'Disconnected, reconnecting'],
  'count.online': ['在线机械', 'Online'],
  'count.open': ['未办结报警', 'Open alarms'],

  'signin.title': ['登录', 'Sign in'],
  'signin.login': ['账号', 'Account'],
  'signin.password': ['密码', 'Password'],
  'signin.submit': ['登录', 'Sign in'],
  'signin.busy': ['正在登录', 'Signing in'],
  'signin.note': ['位置信息受保护：查看须说明目的，每次查看均留有审计记录。', 'Positions are protected: viewing needs a purpose, and every viewing is recorded for audit.'],
  'signin.link_failed': ['登录链接无效或已使用，请用账号登录。', 'This sign-in link is not valid or has been used. Please sign in with your account.'],

  'purpose.title': ['查看位置的目的', 'Purpose of viewing positions'],
  'purpose.label': ['目的', 'Purpose'],
  'purpose.why': ['机械位置属受保护信息。所选目的将与账号、时间一并记入审计记录。', 'Machine positions are protected information. The purpose is recorded for audit with your account and the time.'],
  'purpose.routine': ['日常监管', 'Routine supervision'],
  'purpose.alarm': ['报警处理', 'Alarm handling'],
  'purpose.inspection': ['执法检查', 'Law-enforcement inspection'],
  'purpose.other': ['其他', 'Other'],
  'purpose.other_label': ['说明其他目的', 'Describe the purpose'],
  'purpose.submit': ['显示位置', 'Show positions'],
  'purpose.change': ['更改', 'Change'],

  'map.label': ['机械位置与高排放禁用区地图', 'Map of machines and high-emission exclusion zones'],
  'map.zoom_in': ['放大', 'Zoom in'],
  'map.zoom_out': ['缩小', 'Zoom out'],
  'map.fit': ['显示全部区域', 'Show all zones'],
  'map.find': ['查找登记号码', 'Find a number'],
  'map.not_found': ['没有找到', 'Not found'],
  'map.failed': ['此浏览器无法显示地图（需要 WebGL），报警列表不受影响。', 'This browser cannot draw the map (WebGL is needed). The alarm list still works.'],
  'legend.title': ['图例', 'Legend'],
  'legend.stages': ['排放阶段', 'Emission stage'],
  'legend.ring': ['疑似违规', 'Suspected violation'],
  'legend.zones': ['高排放禁用区', 'Exclusion zone'],

  'card.title': ['机械', 'Machine'],
  'card.number': ['登记号码', 'Registration no.'],
  'card.type': ['机械类型', 'Type'],
  'card.stage': ['排放阶段', 'Emission stage'],
  'card.speed': ['速度', 'Speed'],
  'card.course': ['方向', 'Course'],
  'card.time': ['定位时间', 'Position at'],
  'card.terminal': ['终端', 'Terminal'],
  'card.offline': ['离线', 'Offline'],
  'card.online': ['在线', 'Online'],
  'card.alarm': ['查看报警', 'Open its alarm'],
  'card.unbound': ['待绑定终端', 'Terminal waiting for a machine'],

  'list.title': ['报警', 'Alarms'],
  'list.open': ['未办结', 'Open'],
  'list.all': ['全部', 'All'],
  'list.closed': ['已办结', 'Closed'],
  'list.filter': ['按状态筛选', 'Filter by state'],
  'list.empty_open': ['没有未办结报警', 'No open alarms'],
  'list.empty': ['没有报警', 'No alarms'],
  'list.more': ['更早的报警', 'Earlier alarms'],
  'list.new': ['新报警', 'New'],
  'list.arrived': ['新报警：{machine}，{zone}', 'New alarm: {machine}, {zone}'],
  'list.entered': ['进区', 'Entered'],
  'list.elapsed': ['已过 {time}', '{time} ago'],
  'list.inside': ['仍在区内', 'Still inside'],
  'list.stayed': ['区内 {time}', 'Inside {time}'],
  'candidate.title': ['疑似进入', 'Possible entry'],
  'candidate.note': ['尚未确认，不派发', 'Not confirmed, nobody is sent'],

  'detail.title': ['报警 {id}', 'Alarm {id}'],
  'detail.zone': ['区域', 'Zone'],
  'detail.rule': ['规则', 'Rule'],
  'detail.verdict': ['判定', 'Verdict'],
  'detail.grade': ['级别', 'Grade'],
  'detail.state': ['状态', 'State'],
  'detail.cause': ['起因', 'Cause'],
  'detail.entered': ['进区', 'Entered'],
  'detail.confirmed': ['进区确认', 'Entry confirmed'],
  'detail.exited': ['离开', 'Left'],
  'detail.stay': ['停留', 'Stay'],
  'detail.place': ['位置', 'Position'],
  'detail.district': ['辖区', 'District'],
  'detail.owner': ['所有人', 'Owner'],
  'detail.doc_no': ['文号', 'Notice no.'],
  'detail.power': ['功率', 'Power'],
  'detail.version': ['第 {n} 版', 'version {n}'],
  'detail.timeline': ['处理过程', 'What was done'],
  'detail.raised': ['系统报警', 'Alarm raised'],
  'detail.system': ['系统', 'System'],
  'detail.next': ['下一步', 'Next step'],
  'detail.done': ['本报警已办结', 'This alarm is closed'],
  'detail.readonly': ['当前账号不能处理本报警', 'This account cannot handle this alarm'],
  'detail.track': ['显示进区轨迹', 'Show the track'],
  'detail.track_hide': ['隐藏轨迹', 'Hide the track'],
  'detail.track_empty': ['此时段没有轨迹', 'No track in this period'],

  'act.accept': ['接收', 'Accept'],
  'act.accept_hint': ['接收后由本账号负责处理和反馈。', 'Accepting makes this account responsible for handling and feedback.'],
  'act.feedback': ['提交反馈', 'Send feedback'],
  'act.close': ['办结', 'Close alarm'],
  'act.result': ['现场结果', 'Result on site'],
  'act.measures': ['措施', 'Measures'],
  'act.note': ['说明', 'Note'],
  'act.note_optional': ['说明（选填）', 'Note (optional)'],
  'act.close_note': ['办结意见', 'Closing note'],
  'act.choose': ['请选择', 'Choose'],
  'act.busy': ['正在提交', 'Sending'],
  'act.other': ['其他操作', 'Other steps'],
  'act.district': ['辖区', 'District'],
  'act.note_required': ['请填写说明', 'A note is required'],
  'act.required': ['请填写办结意见', 'A closing note is required'],
  'act.result_required': ['请选择现场结果', 'Choose the result on site'],

  'action.assign': ['派发', 'Assign'],
  'action.accept': ['接收', 'Accept'],
  'action.start': ['开始处理', 'Start'],
  'action.feedback': ['反馈', 'Feedback'],
  'action.close': ['办结', 'Close'],
  'action.return': ['退回补充', 'Return for more'],
  'action.transfer': ['转办', 'Transfer'],
  'action.reopen': ['重新办理', 'Reopen'],
  'action.suspend': ['暂缓处理', 'Suspend'],
  'action.false_alarm': ['误报', 'False alarm'],
  'action.exempt': ['豁免', 'Exempt'],
  'action.note': ['说明', 'Note'],

  'state.new': ['待派发', 'New'],
  'state.assigned': ['待接收', 'Assigned'],
  'state.accepted': ['已接收', 'Accepted'],
  'state.in_progress': ['处理中', 'In progress'],
  'state.feedback': ['已反馈(待审核)', 'To review'],
  'state.closed': ['已办结', 'Closed'],

  'grade.working': ['作业中', 'Working'],
  'grade.parked': ['停放', 'Parked'],
  'grade.transport': ['运输中', 'In transport'],
  'grade.unknown': ['不明', 'Unknown'],

  'stage.pre': ['国一以前(无阶段)', 'Pre-China I (no stage)'],
  'stage.1': ['国一', 'China I'],
  'stage.2': ['国二', 'China II'],
  'stage.3': ['国三', 'China III'],
  'stage.4': ['国四', 'China IV'],
  'stage.x': ['环X(国一及以前或无法判定)', 'Ring X (China I or earlier, or undetermined)'],
  'stage.electric': ['不适用(电动)', 'Not applicable (electric)'],
  'stage.unknown': ['排放阶段不明', 'Stage unknown'],
  'short.pre': ['国一以前', 'Pre-China I'],
  'short.x': ['环X', 'Ring X'],
  'short.electric': ['电动', 'Electric'],
  'short.unknown': ['阶段不明', 'Unknown'],

  'tier.core': ['核心禁用区', 'Core zone'],
  'tier.general': ['一般禁用区', 'General zone'],
  'verdict.violation': ['疑似违规', 'Suspected violation'],
  'verdict.allowed': ['允许', 'Allowed'],
  'verdict.exempt': ['豁免', 'Exempt'],
  'verdict.unknown': ['排放阶段不明(待核实)', 'Stage unknown, to be verified'],

  'result.confirmed': ['属实', 'Confirmed'],
  'result.not_found': ['到场未找到机械', 'Machine not found on site'],
  'result.left': ['已离开', 'Had left'],
  'result.number_mismatch': ['号牌不符', 'Number does not match'],
  'result.unregistered': ['未备案机械', 'Unregistered machine'],
  'result.not_working': ['未作业', 'Not working'],
  'result.false_alarm': ['误报', 'False alarm'],
  'result.exempt': ['豁免', 'Exempt'],
  'measure.persuaded': ['劝离', 'Persuaded to leave'],
  'measure.ordered': ['责令改正', 'Ordered to correct'],
  'measure.case': ['立案', 'Case opened'],
  'measure.penalty': ['处罚', 'Penalty'],
  'measure.handed_over': ['移交', 'Handed over'],
  'measure.none': ['无违法', 'No offence'],

  'role.city_admin': ['市局管理员', 'City administrator'],
  'role.city_viewer': ['市局查看人员', 'City viewer'],
  'role.branch_admin': ['分局平台管理人员', 'Branch administrator'],
  'role.branch_handler': ['分局工作人员', 'Branch staff'],
  'role.township_handler': ['乡镇(街道)工作人员', 'Township staff'],
  'role.operations': ['系统运维人员', 'Operations'],
  'role.engineer': ['技术人员', 'Engineer'],
  'role.auditor': ['审计人员', 'Auditor'],

  'type.excavator': ['挖掘机', 'Excavator'],
  'type.crane': ['起重机', 'Crane'],
  'type.bulldozer': ['推土机', 'Bulldozer'],
  'type.loader': ['装载机', 'Loader'],
  'type.roller': ['压路机', 'Road roller'],
  'type.paver': ['摊铺机', 'Paver'],
  'type.grader': ['平地机', 'Grader'],
  'type.forklift': ['叉车', 'Forklift'],
  'type.pile_driver': ['桩工机械', 'Piling machine'],
  'type.stacker': ['堆高机', 'Stacker'],
  'type.tow_tractor': ['牵引车', 'Tow tractor'],
  'type.shuttle_bus': ['摆渡车', 'Shuttle bus'],
  'type.in_plant': ['场内车辆', 'In-plant vehicle'],
  'type.machine': ['机械', 'Machine'],

  'time.now': ['刚刚', 'just now'],
  'time.m': ['{m}分钟', '{m} min'],
  'time.hm': ['{h}小时{m}分', '{h} h {m} min'],
  'time.dh': ['{d}天{h}小时', '{d} d {h} h'],

  'error.network': ['无法连接服务器，请检查网络后重试。', 'The server cannot be reached. Check the network and try again.'],
  'error.server': ['服务器出错（{status}），请稍后重试。', 'The server failed ({status}). Try again later.'],
  'error.credentials': ['账号或密码不正确', 'Wrong account or password'],
  'error.signed_out': ['登录已失效，请重新登录。', 'Your session has ended. Please sign in again.'],
};

const KEY = 'lezgate.language';
const LANGUAGES = ['zh', 'en'];
let language = remembered();

function remembered() {
  try {
    return localStorage.getItem(KEY) === 'en' ? 'en' : 'zh';
  } catch {
    return 'zh'; // no storage: Chinese
  }
}

export function currentLanguage() {
  return language;
}

export function setLanguage(next) {
  language = LANGUAGES.includes(next) ? next : 'zh';
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // not remembered, still switched
  }
}

/** The word or sentence of `key` in the page's language, `{name}` filled in from `values`. */
export function t(key, values = {}) {
  const words = WORDS[key];
  if (!words) return key;
  return words[language === 'en' ? 1 : 0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

/** The name of a code such as a state or a stage; a code we have no word for is shown as it is. */
export function name(group, code) {
  if (code === null || code === undefined || code === '') return t('app.none');
  return WORDS[`${group}.${code}`] ? t(`${group}.${code}`) : String(code);
}

/** The code whose Chinese or English word is `word`, else `word`: machine types may be stored as words. */
export function codeOf(group, word) {
  for (const [key, words] of Object.entries(WORDS)) {
    if (key.startsWith(`${group}.`) && words.includes(word)) return key.slice(group.length + 1);
  }
  return word;
}

export function codes(group) {
  return Object.keys(WORDS).filter((key) => key.startsWith(`${group}.`)).map((key) => key.slice(group.length + 1));
}

export { WORDS };
